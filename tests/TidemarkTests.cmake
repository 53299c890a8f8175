# One ctest per TEST() of a program, named by its sentence; the list is asked of the
# program itself when it has been built, as gtest_discover_tests() does it.
function(tidemark_discover_tests target)
	set(file ${CMAKE_CURRENT_BINARY_DIR}/${target}_tests.cmake)
	add_custom_command(TARGET ${target} POST_BUILD
		COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:${target}>
			-D NAME=${target} -D OUTPUT=${file}
			-P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/DiscoverTests.cmake
		VERBATIM)
	file(WRITE ${file}.in "if(EXISTS \"${file}\")\n\tinclude(\"${file}\")\nelse()\n"
		"\tadd_test(${target}_NOT_BUILT ${target}_NOT_BUILT)\nendif()\n")
	set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${file}.in)
endfunction()
