# SQLite, linked into the library and the command, and seen by nobody else: the target
# tidemark_sqlite and TIDEMARK_SQLITE_INCLUDE, for the few files that include sqlite3.h.
# It is the distribution's libsqlite3.a; or the amalgamation in TIDEMARK_SQLITE_SOURCE, or,
# with TIDEMARK_SQLITE_FETCH, the one that fetch_sqlite.py brings.
set(TIDEMARK_SQLITE_SOURCE "" CACHE PATH "A folder with sqlite3.c and sqlite3.h, to build SQLite from")
option(TIDEMARK_SQLITE_FETCH "Fetch SQLite's amalgamation, by pip, where no folder is named" OFF)

if(TIDEMARK_SQLITE_FETCH AND NOT TIDEMARK_SQLITE_SOURCE)
	find_package(Python3 REQUIRED COMPONENTS Interpreter)
	set(TIDEMARK_SQLITE_SOURCE ${PROJECT_BINARY_DIR}/sqlite)
	execute_process(COMMAND ${Python3_EXECUTABLE}
		${CMAKE_CURRENT_LIST_DIR}/fetch_sqlite.py ${TIDEMARK_SQLITE_SOURCE}
		RESULT_VARIABLE failed)
	if(failed)
		message(FATAL_ERROR "SQLite's amalgamation could not be fetched; "
			"-DTIDEMARK_SQLITE_SOURCE=FOLDER names one that is there")
	endif()
endif()

if(TIDEMARK_SQLITE_SOURCE)
	set(TIDEMARK_SQLITE_INCLUDE ${TIDEMARK_SQLITE_SOURCE})
	add_library(tidemark_sqlite STATIC ${TIDEMARK_SQLITE_SOURCE}/sqlite3.c)
	target_compile_options(tidemark_sqlite PRIVATE -w -fPIC -fvisibility=hidden)
	target_compile_definitions(tidemark_sqlite PRIVATE SQLITE_THREADSAFE=1
		SQLITE_ENABLE_MATH_FUNCTIONS SQLITE_OMIT_LOAD_EXTENSION SQLITE_OMIT_DEPRECATED
		SQLITE_OMIT_SHARED_CACHE)
else()
	find_path(TIDEMARK_SQLITE_INCLUDE sqlite3.h REQUIRED)
	find_library(TIDEMARK_SQLITE_LIBRARY NAMES libsqlite3.a REQUIRED)
	add_library(tidemark_sqlite STATIC IMPORTED)
	set_target_properties(tidemark_sqlite PROPERTIES
		IMPORTED_LOCATION ${TIDEMARK_SQLITE_LIBRARY})
endif()
set_property(TARGET tidemark_sqlite PROPERTY INTERFACE_LINK_LIBRARIES m dl pthread)
