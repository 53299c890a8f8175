/* serve.h - the figures of a run over HTTP: for Prometheus, which asks for them, and to a collector
 * of OpenTelemetry's. */
#ifndef TIDEMARK_ANALYSIS_SERVE_H
#define TIDEMARK_ANALYSIS_SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Starts serve.py with this Python and waits until it listens. Ends the program with status 2
 * where it cannot: no such Python, no prometheus_client, the port in use. Returns where each
 * look's document goes, one a line. The server ends when that is closed. */
FILE *serve_start(const char *python, const char *address, int64_t port);

/* The same with send.py, which sends the figures to a collector at this address. */
FILE *send_start(const char *python, const char *address);

/* One document. false, once, with a line on stderr: the server is gone. */
bool serve_put(FILE *server, const char *document);

#endif
