/* stubs.h - the simulated device's libraries: where they are, and what of the environment
 * puts them in the place of NVIDIA's. */
#ifndef TIDEMARK_ANALYSIS_STUBS_H
#define TIDEMARK_ANALYSIS_STUBS_H

#include <stddef.h>

/* The first of the places, relative to the command's own folder, that is there, or the
 * last resort; absolute. NULL: none is there. The caller's text. */
char *stubs_beside(const char *const *places, const char *last_resort);

/* The folder of the libraries for a CUDA major version, or NULL. The caller's text. */
char *stubs_folder(int major);

/* Every library in the folder. The caller's texts and array. */
char **stubs_list(const char *folder, size_t *count);
void stubs_list_free(char **list, size_t count);

/* Puts the libraries behind what LD_PRELOAD holds already, and tells Triton where its
 * libcuda.so.1 is. Ends the program with status 2 where the path can't be preloaded. */
void stubs_prepare(const char *folder);

/* Has the program's Python stand in for the peers of Gloo, which would wait for them: puts
 * posing/sitecustomize.py in front of what PYTHONPATH holds. */
void stubs_pose(const char *folder);

/* Asks the simulator itself whether it takes the profile and the settings that the
 * environment holds, in a child. It says on stderr what is wrong. 0, or -1. */
int stubs_accept(const char *folder);

#endif
