# Writes the add_test() lines of a built test program; see TidemarkTests.cmake.
execute_process(COMMAND ${PROGRAM} --list OUTPUT_VARIABLE list RESULT_VARIABLE failed
	OUTPUT_STRIP_TRAILING_WHITESPACE)
if(failed)
	message(FATAL_ERROR "'${PROGRAM} --list' failed: ${failed}")
endif()
string(REPLACE ";" "\\;" list "${list}")
string(REPLACE "\n" ";" list "${list}")
file(WRITE ${OUTPUT} "")
foreach(name IN LISTS list)
	file(APPEND ${OUTPUT} "add_test([==[${NAME}: ${name}]==] [==[${PROGRAM}]==] "
		"--run [==[${name}]==])\n"
		"set_tests_properties([==[${NAME}: ${name}]==] PROPERTIES SKIP_RETURN_CODE 77)\n")
endforeach()
