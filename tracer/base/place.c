/* place.c - names and file systems. Called from: session.c, ring.c, recover.c. */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *rank_text(void)
{
	static const char *const names[] = {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK",
	                                    "SLURM_PROCID"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (getenv(names[i]))
			return getenv(names[i]);
	return "0";
}

int tmk_place_expand(const char *pattern, char *path, size_t size)
{
	size_t n = 0;
	char word[256];
	path[0] = 0;
	if (*pattern != '/') {
		if (!getcwd(path, size - 1))
			return -errno;
		n = strlen(path);
		path[n++] = '/';
	}
	for (const char *p = pattern; *p && n < size; p++) {
		word[0] = *p;
		word[1] = 0;
		if (*p == '%' && p[1]) {
			p++;
			if (*p == 'h' && gethostname(word, sizeof(word) - 1))
				snprintf(word, sizeof(word), "host");
			else if (*p == 'p')
				snprintf(word, sizeof(word), "%d", (int)getpid());
			else if (*p == 'r')
				snprintf(word, sizeof(word), "%.64s", rank_text());
			else if (*p != 'h')
				word[0] = *p;
			if (*p == 'h')
				word[strcspn(word, ".")] = 0;
		}
		n += snprintf(path + n, size - n, "%s", word);
	}
	return n < size ? 0 : -ENAMETOOLONG;
}

int tmk_place_inside(char *path, size_t size, const char *name)
{
	char inside[1024];
	struct stat st;
	size_t n = strlen(path);
	bool named = n && path[n - 1] == '/';
	if (!named && (stat(path, &st) || !S_ISDIR(st.st_mode)))
		return 0;
	if (named && mkdir(path, 0777) && errno != EEXIST)
		return -errno;
	snprintf(inside, sizeof(inside), "%s%s%s", path, named ? "" : "/", name);
	return tmk_place_expand(inside, path, size);
}

bool tmk_place_type_is_network(uint32_t type)
{
	/* as statfs(2) says it, from linux/magic.h and the file systems' own sources */
	static const uint32_t network[] = {
	        0x6969,     /* NFS */
	        0xff534d42, /* SMB: cifs.ko, as mounted with vers=1.0 */
	        0xfe534d42, /* ... with any later version */
	        0x517b,     /* ... smbfs, before 2.6.37 */
	        0x5346414f, /* AFS: OpenAFS */
	        0x6b414653, /* ... the kernel's own */
	        0x73757245, /* Coda */
	        0x564c,     /* NCP */
	        0x00c36400, /* Ceph */
	        0x01021997, /* 9P: virtual machines, WSL */
	        0x0bd00bd0, /* Lustre */
	        0x47504653, /* GPFS */
	        0x19830326, /* BeeGFS */
	        0x20030528, /* OrangeFS */
	        0xaad7aaea, /* PanFS */
	        0x7461636f, /* OCFS2 */
	        0x01161970, /* GFS2 */
	        0x786f4256, /* VirtualBox's shared folders */
	        0xbacbacbc, /* VMware's */
	        0x65735546, /* FUSE: sshfs, gcsfuse and the like */
	};
	for (size_t i = 0; i < sizeof(network) / sizeof(*network); i++)
		if (type == network[i])
			return true;
	return false;
}

bool tmk_place_is_network(const char *path)
{
	char folder[PATH_MAX];
	snprintf(folder, sizeof(folder), "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	struct statfs fs;
	if (statfs(slash ? folder : ".", &fs))
		return false;
	/* 32 bits wide, whatever the field is: some kernels extend the sign */
	return tmk_place_type_is_network((uint32_t)fs.f_type);
}

int tmk_place_create(const char *path)
{
	int fd = tmk_place_above_stdio(
	        open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600));
	return fd < 0 ? -errno : fd;
}

int tmk_place_above_stdio(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int err = errno;
	close(fd);
	errno = err;
	return above;
}

int tmk_place_reserve(int fd, off_t at, off_t size)
{
	struct rlimit limit;
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
	    (rlim_t)(at + size) > limit.rlim_cur)
		return -EFBIG;
	return -posix_fallocate(fd, at, size);
}

void tmk_file_note(struct tmk_file *file, int fd)
{
	struct stat st;
	bool known = !fstat(fd, &st);
	file->device = known ? (uint64_t)st.st_dev : 0;
	file->inode = known ? (uint64_t)st.st_ino : 0;
}

bool tmk_file_is(const struct tmk_file *file, int fd)
{
	struct stat st;
	return file->inode && fd >= 0 && !fstat(fd, &st) &&
	       (uint64_t)st.st_dev == file->device &&
	       (uint64_t)st.st_ino == file->inode;
}

void tmk_file_close_in_child(const struct tmk_file *file, int *fd)
{
	if (tmk_file_is(file, *fd))
		close(*fd);
	*fd = -1;
}
