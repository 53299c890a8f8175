# A toolchain file: zig's C compiler, for a glibc of TIDEMARK_GLIBC or newer, so that what is
# built here loads on old distributions too. `python -m build` uses it (pyproject.toml).
# TIDEMARK_ZIG names a zig; otherwise it is that of the package ziglang of Python3_EXECUTABLE.
set(TIDEMARK_GLIBC 2.17 CACHE STRING "The oldest C library that the result has to load with")
set(TIDEMARK_ZIG "" CACHE FILEPATH "The program zig")
set(TIDEMARK_ARCH ${CMAKE_HOST_SYSTEM_PROCESSOR} CACHE STRING "x86_64 or aarch64")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TIDEMARK_GLIBC TIDEMARK_ZIG TIDEMARK_ARCH
	TIDEMARK_ZIG_TOOLS)
if(NOT TIDEMARK_ARCH STREQUAL CMAKE_HOST_SYSTEM_PROCESSOR)
	set(CMAKE_SYSTEM_NAME Linux)
	set(CMAKE_SYSTEM_PROCESSOR ${TIDEMARK_ARCH})
endif()

if(NOT TIDEMARK_ZIG)
	if(NOT Python3_EXECUTABLE)
		set(Python3_EXECUTABLE python3)
	endif()
	execute_process(COMMAND ${Python3_EXECUTABLE} -c
		"import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
		OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
	if(failed)
		message(FATAL_ERROR "'${Python3_EXECUTABLE}' has no ziglang: pip install ziglang")
	endif()
	set(TIDEMARK_ZIG ${found} CACHE FILEPATH "The program zig" FORCE)
endif()

# CMake takes a program, not a program with a first word: each is a script.
if(NOT TIDEMARK_ZIG_TOOLS)
	set(TIDEMARK_ZIG_TOOLS ${CMAKE_BINARY_DIR}/zig)
endif()
foreach(tool cc ar ranlib)
	set(words ${tool})
	if(tool STREQUAL "cc")
		set(words "cc -target ${TIDEMARK_ARCH}-linux-gnu.${TIDEMARK_GLIBC}")
	endif()
	if(NOT EXISTS ${TIDEMARK_ZIG_TOOLS}/${tool})
		file(WRITE ${TIDEMARK_ZIG_TOOLS}/${tool}
			"#!/bin/sh\nexec '${TIDEMARK_ZIG}' ${words} \"$@\"\n")
		file(CHMOD ${TIDEMARK_ZIG_TOOLS}/${tool} PERMISSIONS
			OWNER_READ OWNER_WRITE OWNER_EXECUTE)
	endif()
endforeach()
set(CMAKE_C_COMPILER ${TIDEMARK_ZIG_TOOLS}/cc)
set(CMAKE_ASM_COMPILER ${TIDEMARK_ZIG_TOOLS}/cc)
set(CMAKE_AR ${TIDEMARK_ZIG_TOOLS}/ar CACHE FILEPATH "zig ar")
set(CMAKE_RANLIB ${TIDEMARK_ZIG_TOOLS}/ranlib CACHE FILEPATH "zig ranlib")
