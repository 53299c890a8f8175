/* ranks.c - a store for a program that poses as one rank of several.
 *
 * PyTorch's env:// rendezvous keeps what ranks tell each other in a TCPStore. Alone, a
 * process would wait there for its peers for ever. Here they do what it does: a counter
 * goes up `world` times as far as it asks, and what only a peer would have written is
 * there at once, as zeros (an NCCL id is 128 bytes that the simulated NCCL does not look
 * into). The protocol is that of PyTorch 2.1 and later, torch/csrc/distributed/c10d.
 * Called from: simulation.c. */
#include "ranks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"

enum query {
	VALIDATE,
	SET,
	COMPARE_SET,
	GET,
	ADD,
	CHECK,
	WAIT,
	GETNUMKEYS,
	DELETE_KEY,
	APPEND,
	MULTI_GET,
	MULTI_SET,
	CANCEL_WAIT,
	PING
};
enum { READY = 0, NOT_READY = 1, STOP_WAITING = 0, CANCELLED = 1, UNKNOWN_BYTES = 128 };

struct text {
	char *data;
	uint64_t size;
};

struct entry {
	struct text key, value;
};

static struct {
	pthread_mutex_t lock;
	struct entry *list;
	size_t count, room;
	int64_t world;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool read_all(int fd, void *to, size_t bytes)
{
	while (bytes) {
		ssize_t got = read(fd, to, bytes);
		if (got <= 0)
			return false;
		to = (char *)to + got;
		bytes -= (size_t)got;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(fd, from, bytes, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		from = (const char *)from + sent;
		bytes -= (size_t)sent;
	}
	return true;
}

static bool read_text(int fd, struct text *text)
{
	text->data = NULL;
	if (!read_all(fd, &text->size, sizeof(text->size)) || text->size > 1u << 28)
		return false;
	text->data = allocate(text->size + 1);
	return read_all(fd, text->data, text->size);
}

static bool write_text(int fd, const struct text *text)
{
	return write_all(fd, &text->size, sizeof(text->size)) &&
	       write_all(fd, text->data, text->size);
}

/* The entry of a key, made where there is none; under the lock. */
static struct entry *entry_of(const struct text *key, bool *is_new)
{
	struct entry *entry;

	*is_new = false;
	for (size_t i = 0; i < store.count; i++) {
		entry = &store.list[i];
		if (entry->key.size == key->size &&
		    !memcmp(entry->key.data, key->data, key->size))
			return entry;
	}
	store.list = grow(store.list, store.count, &store.room, sizeof(*store.list));
	entry = &store.list[store.count++];
	*entry = (struct entry){{allocate(key->size + 1), key->size}, {NULL, 0}};
	memcpy(entry->key.data, key->data, key->size);
	*is_new = true;
	return entry;
}

/* Takes the value over. */
static void put(struct entry *entry, struct text value)
{
	free(entry->value.data);
	entry->value = value;
}

static bool exists(const struct text *key)
{
	for (size_t i = 0; i < store.count; i++)
		if (store.list[i].key.size == key->size &&
		    !memcmp(store.list[i].key.data, key->data, key->size))
			return true;
	return false;
}

static struct entry *known(const struct text *key)
{
	bool is_new;
	struct entry *entry = entry_of(key, &is_new);
	if (is_new)
		put(entry, (struct text){allocate(UNKNOWN_BYTES), UNKNOWN_BYTES});
	return entry;
}

static bool do_set(int fd, const struct text *key, bool append)
{
	struct text value;
	bool is_new, good = read_text(fd, &value);
	struct entry *entry;

	if (!good) {
		free(value.data);
		return false;
	}
	entry = entry_of(key, &is_new);
	if (append) {
		struct text both = {allocate(entry->value.size + value.size + 1),
		                    entry->value.size + value.size};
		if (entry->value.size)
			memcpy(both.data, entry->value.data, entry->value.size);
		memcpy(both.data + entry->value.size, value.data, value.size);
		free(value.data);
		value = both;
	}
	put(entry, value);
	return true;
}

/* The value is set where it is what was expected, or where there is none. */
static bool do_compare(int fd, const struct text *key)
{
	struct text expected = {NULL, 0}, desired = {NULL, 0};
	bool is_new, good = read_text(fd, &expected) && read_text(fd, &desired);

	if (good) {
		struct entry *entry = entry_of(key, &is_new);
		bool same = entry->value.size == expected.size &&
		            !memcmp(expected.data, is_new ? "" : entry->value.data,
		                    expected.size);
		if (is_new || same) {
			put(entry, desired);
			desired.data = NULL;
		}
		good = write_text(fd, &entry->value);
	}
	free(expected.data);
	free(desired.data);
	return good;
}

static bool do_add(int fd, const struct text *key)
{
	int64_t amount, total;
	bool is_new;
	struct entry *entry;
	struct text value;

	if (!read_all(fd, &amount, sizeof(amount)))
		return false;
	entry = entry_of(key, &is_new);
	total = (is_new ? 0 : atoll(entry->value.data)) + amount * store.world;
	value.data = format_text("%lld", (long long)total);
	value.size = strlen(value.data);
	put(entry, value);
	return write_all(fd, &total, sizeof(total));
}

static bool do_delete(int fd, const struct text *key)
{
	int64_t gone = 0;

	for (size_t i = 0; i < store.count; i++) {
		struct entry *entry = &store.list[i];
		if (entry->key.size != key->size ||
		    memcmp(entry->key.data, key->data, key->size) != 0)
			continue;
		free(entry->key.data);
		free(entry->value.data);
		*entry = store.list[--store.count];
		gone = 1;
		break;
	}
	return write_all(fd, &gone, sizeof(gone));
}

static bool do_key(int fd, enum query query, const struct text *key)
{
	switch (query) {
	case SET:
	case MULTI_SET:
		return do_set(fd, key, false);
	case APPEND:
		return do_set(fd, key, true);
	case COMPARE_SET:
		return do_compare(fd, key);
	case GET:
	case MULTI_GET:
		return write_text(fd, &known(key)->value);
	case ADD:
		return do_add(fd, key);
	case DELETE_KEY:
		return do_delete(fd, key);
	default: /* WAIT: a peer has written it */
		known(key);
		return true;
	}
}

/* One key, or as many as are announced. */
static bool do_keys(int fd, enum query query)
{
	bool several = query == CHECK || query == WAIT || query == MULTI_GET ||
	               query == MULTI_SET;
	uint64_t count = 1;
	uint8_t said = query == CHECK ? READY : STOP_WAITING;
	bool good =
	        !several || (read_all(fd, &count, sizeof(count)) && count < 1u << 20);

	for (uint64_t i = 0; i < count && good; i++) {
		struct text key;
		good = read_text(fd, &key);
		pthread_mutex_lock(&store.lock);
		/* Asked for without waiting: PyTorch looks whether a rank has failed. */
		if (good && query == CHECK)
			said = exists(&key) ? said : NOT_READY;
		else
			good = good && do_key(fd, query, &key);
		pthread_mutex_unlock(&store.lock);
		free(key.data);
	}
	if (good && (query == CHECK || query == WAIT))
		good = write_all(fd, &said, 1);
	return good;
}

static bool answer(int fd, uint8_t query)
{
	uint32_t word;
	int64_t count;

	switch (query) {
	case VALIDATE: /* a magic number */
		return read_all(fd, &word, sizeof(word));
	case PING:
		return read_all(fd, &word, sizeof(word)) &&
		       write_all(fd, &word, sizeof(word));
	case CANCEL_WAIT:
		return write_all(fd, &(uint8_t){CANCELLED}, 1);
	case GETNUMKEYS:
		pthread_mutex_lock(&store.lock);
		count = (int64_t)store.count;
		pthread_mutex_unlock(&store.lock);
		return write_all(fd, &count, sizeof(count));
	default:
		return query < PING && do_keys(fd, query);
	}
}

static void *serve(void *connection)
{
	int fd = (int)(intptr_t)connection;
	uint8_t query;

	while (read_all(fd, &query, 1) && answer(fd, query))
		;
	close(fd);
	return NULL;
}

static void serve_all(int listener)
{
	for (;;) {
		pthread_t thread;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd))
			close(fd);
		else
			pthread_detach(thread);
	}
}

int ranks_serve(int64_t world)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	pid_t parent = getpid(), child;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&at, size) ||
	    listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&at, &size))
		fail(STATUS_USAGE,
		     "cannot open a port on 127.0.0.1 for the ranks to meet: %s",
		     strerror(errno));
	store.world = world;
	child = fork();
	if (child < 0)
		fail(STATUS_USAGE, "cannot start a process: %s", strerror(errno));
	if (!child) {
		/* Signals are the program's; this ends when the command does. */
		signal(SIGINT, SIG_IGN);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		close(STDOUT_FILENO);
		serve_all(listener);
	}
	close(listener);
	return ntohs(at.sin_port);
}
