# Embeds the queries of a room, ROOM/queries/NAME.sql, as they stand: the header
# ROOM_queries.h declares each as the text sql_NAME. As a script it writes the header and the
# source of one room; a query that is edited is embedded again with the next build.
if(CMAKE_SCRIPT_MODE_FILE)
	set(header "/* The queries of ${ROOM}/queries, made by cmake/EmbedQueries.cmake. */\n")
	set(source "#include \"${ROOM}_queries.h\"\n")
	string(REPLACE "|" ";" files "${FILES}")
	foreach(file IN LISTS files)
		get_filename_component(name ${file} NAME_WE)
		file(READ ${file} text)
		string(REPLACE "\\" "\\\\" text "${text}")
		string(REPLACE "\"" "\\\"" text "${text}")
		string(REPLACE "\n" "\\n\"\n\t\"" text "${text}")
		string(APPEND header "extern const char sql_${name}[];\n")
		string(APPEND source "\nconst char sql_${name}[] =\n\t\"${text}\";\n")
	endforeach()
	file(WRITE ${OUT}/${ROOM}_queries.h "${header}")
	file(WRITE ${OUT}/${ROOM}_queries.c "${source}")
	return()
endif()

set(EMBED_QUERIES ${CMAKE_CURRENT_LIST_FILE})

# Makes the header and the source of FOLDER/queries.
function(embed_queries folder)
	set(out ${CMAKE_CURRENT_BINARY_DIR}/${folder})
	file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/queries/*.sql)
	list(JOIN files "|" joined)
	add_custom_command(OUTPUT ${out}/${folder}_queries.c ${out}/${folder}_queries.h
		COMMAND ${CMAKE_COMMAND} "-DROOM=${folder}" "-DFILES=${joined}" "-DOUT=${out}"
			-P ${EMBED_QUERIES}
		DEPENDS ${files} ${EMBED_QUERIES} VERBATIM)
	# Those who include the header wait for it by this name.
	add_custom_target(${folder}_queries
		DEPENDS ${out}/${folder}_queries.c ${out}/${folder}_queries.h)
endfunction()

# A target of the same CMakeLists.txt that includes the header of FOLDER/queries.
function(sees_queries folder target)
	target_include_directories(${target} PUBLIC ${CMAKE_CURRENT_BINARY_DIR}/${folder})
	add_dependencies(${target} ${folder}_queries)
endfunction()

# The target that compiles them; what links it sees them too.
function(holds_queries folder target)
	target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${folder}/${folder}_queries.c)
	sees_queries(${folder} ${target})
endfunction()
