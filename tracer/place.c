/* place.c - names and file systems. Called from: session.c, ring.c, recover.c. */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *rank_text(void)
{
	static const char *const names[] = {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK",
	                                    "SLURM_PROCID"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
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
			if (*p == 'h' && gethostname(word, sizeof word - 1))
				snprintf(word, sizeof word, "host");
			else if (*p == 'p')
				snprintf(word, sizeof word, "%d", (int)getpid());
			else if (*p == 'r')
				snprintf(word, sizeof word, "%.64s", rank_text());
			else if (*p != 'h')
				word[0] = *p;
			if (*p == 'h')
				word[strcspn(word, ".")] = 0;
		}
		n += snprintf(path + n, size - n, "%s", word);
	}
	return n < size ? 0 : -ENAMETOOLONG;
}

bool tmk_place_is_network(const char *path)
{
	/* f_type of statfs(2): NFS, SMB, SMB2, AFS, Ceph, 9P, Lustre, GPFS, BeeGFS, FUSE
	 * (sshfs, gcsfuse and the like) */
	static const unsigned long network[] = {
	        0x6969,     0x517b,     0xfe534d42, 0x5346414f, 0x00c36400,
	        0x01021997, 0x0bd00bd0, 0x47504653, 0x19830326, 0x65735546};
	char folder[PATH_MAX];
	snprintf(folder, sizeof folder, "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	struct statfs fs;
	if (statfs(slash ? folder : ".", &fs))
		return false;
	for (size_t i = 0; i < sizeof network / sizeof *network; i++)
		if ((unsigned long)fs.f_type == network[i])
			return true;
	return false;
}

int tmk_place_create(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}
