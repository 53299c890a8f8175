/* about.h - facts about the run, emitted when it begins. */
#ifndef TIDEMARK_HOOKS_ABOUT_H
#define TIDEMARK_HOOKS_ABOUT_H

void tmk_about_run(void);
/* Name of a CUDA device, once it is used. */
void tmk_about_device(int index);

#endif
