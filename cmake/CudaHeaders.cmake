# Finds the headers of CUDA toolkits, one per major version, for the checks of our own
# declarations against them. Nothing is built with them.
# Sets TIDEMARK_CUDA12_HEADERS and TIDEMARK_CUDA13_HEADERS, empty where there is none:
# an installed toolkit's, or those that tests/setup.sh has fetched.
if(DEFINED ENV{TIDEMARK_TEST_CACHE})
	set(cache $ENV{TIDEMARK_TEST_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
	set(cache $ENV{XDG_CACHE_HOME}/tidemark)
else()
	set(cache $ENV{HOME}/.cache/tidemark)
endif()
foreach(major 12 13)
	file(GLOB folders LIST_DIRECTORIES true /usr/local/cuda-${major}*/include)
	list(APPEND folders /usr/local/cuda/include ${cache}/headers-${major}/include)
	foreach(folder IN LISTS folders)
		if(TIDEMARK_CUDA${major}_HEADERS 
		   OR NOT EXISTS ${folder}/crt/host_defines.h)
			continue()
		endif()
		file(STRINGS ${folder}/cuda_runtime_api.h version
			REGEX "define CUDART_VERSION +${major}" LIMIT_COUNT 1)
		if(version)
			set(TIDEMARK_CUDA${major}_HEADERS ${folder} CACHE PATH
				"Headers of a CUDA ${major} toolkit, to check declarations against")
		endif()
	endforeach()
	if(TIDEMARK_CUDA${major}_HEADERS)
		message(STATUS "CUDA ${major} declarations checked against "
			"${TIDEMARK_CUDA${major}_HEADERS}")
	else()
		message(STATUS "CUDA ${major} declarations not checked: no toolkit found")
	endif()
endforeach()
