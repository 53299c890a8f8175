/* environment.c - made from the list the library reads its settings by, which CMake copies
 * here, so that the two cannot differ.
 * Called from: help.c. */
#include "environment.h"

/* Defaults as people write them: texts lose their quotes, sizes get their suffix. */
#define WORD_TEXT(value) value
#define WORD_FLAG(value) #value
#define WORD_SIZE(value) value
#define TMK_GIB(n)       #n "G"
#define TMK_MIB(n)       #n "M"

const struct environment_row environment_table[] = {
#define SETTING(field, name, type, value, what) {name, WORD_##type(value), what},
#include "settings.def"
#undef SETTING
        {"TIDEMARK_LIBRARY", "", "the libtidemark.so that 'tidemark run' uses"},
        {"NO_COLOR", "", "any value switches colours off"},
        {"COLUMNS", "", "the width of the screens, in characters"},
};
const size_t environment_count = sizeof(environment_table) / sizeof(*environment_table);
