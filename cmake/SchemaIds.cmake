# Makes schema_ids.h from schema.sql, which both houses include: phases and buckets have one
# list, and what is numbered in the file is never numbered again by hand. Sets the target
# tidemark_schema, which carries its folder.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS schema.sql)
file(READ schema.sql schema)
set(text "/* schema_ids.h - the numbers of schema.sql, made by cmake/SchemaIds.cmake.
 * A list calls X(NAME, number, \"name\") for each row, numbers rising from 0 without a gap. */
#ifndef TIDEMARK_SCHEMA_IDS_H
#define TIDEMARK_SCHEMA_IDS_H

")
foreach(pragma application_id user_version)
	if(NOT schema MATCHES "PRAGMA ${pragma} = ([0-9]+);")
		message(FATAL_ERROR "schema.sql has no PRAGMA ${pragma}")
	endif()
	string(TOUPPER ${pragma} name)
	string(APPEND text "#define SCHEMA_${name} ${CMAKE_MATCH_1}\n")
endforeach()

foreach(table phase bucket)
	if(NOT schema MATCHES "INSERT INTO ${table} VALUES ([^;]+);")
		message(FATAL_ERROR "schema.sql has no rows of ${table}")
	endif()
	string(REGEX MATCHALL "\\([0-9]+, '[a-z_]+'\\)" rows "${CMAKE_MATCH_1}")
	string(TOUPPER ${table} upper)
	set(list "")
	set(count 0)
	foreach(row IN LISTS rows)
		string(REGEX MATCH "\\(([0-9]+), '([a-z_]+)'\\)" row "${row}")
		set(number ${CMAKE_MATCH_1})
		set(name ${CMAKE_MATCH_2})
		if(NOT number EQUAL count)
			message(FATAL_ERROR "schema.sql: ${table} ${name} is not number ${count}")
		endif()
		string(TOUPPER ${name} id)
		string(APPEND list " \\\n\tX(${id}, ${number}, \"${name}\")")
		math(EXPR count "${count} + 1")
	endforeach()
	string(APPEND text "\n#define SCHEMA_${upper}S(X)${list}\n")
endforeach()
string(APPEND text "\n#endif\n")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/schema_ids.h CONTENT "${text}" @ONLY)
add_library(tidemark_schema INTERFACE)
target_include_directories(tidemark_schema INTERFACE ${PROJECT_BINARY_DIR}/generated)

# The simulated device reads the library's list of locks, as text: it knows nobody.
configure_file(tracer/base/locks.def ${PROJECT_BINARY_DIR}/generated/locks.def COPYONLY)
