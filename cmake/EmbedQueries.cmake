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

# Called after the room's library is declared. Rooms above may ask a room's queries too.
function(embed_queries room)
	set(out ${CMAKE_CURRENT_BINARY_DIR}/${room})
	file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/queries/*.sql)
	list(JOIN files "|" joined)
	add_custom_command(OUTPUT ${out}/${room}_queries.c ${out}/${room}_queries.h
		COMMAND ${CMAKE_COMMAND} "-DROOM=${room}" "-DFILES=${joined}" "-DOUT=${out}"
			-P ${EMBED_QUERIES}
		DEPENDS ${files} ${EMBED_QUERIES} VERBATIM)
	# The rooms above wait for the header by this name.
	add_custom_target(room_${room}_queries
		DEPENDS ${out}/${room}_queries.c ${out}/${room}_queries.h)
	target_sources(room_${room} PRIVATE ${out}/${room}_queries.c ${out}/${room}_queries.h)
	target_include_directories(room_${room} PUBLIC ${out})
	add_dependencies(room_${room} room_${room}_queries)
endfunction()
