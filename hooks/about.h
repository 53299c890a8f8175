/* about.h - facts about the run, emitted when it begins. */
#ifndef TMK_ABOUT_H
#define TMK_ABOUT_H

void tmk_about_run(void);
/* Name of a CUDA device, once it is used. */
void tmk_about_device(int index);

#endif
