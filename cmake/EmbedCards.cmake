# The list of cards, from the profiles of the simulated device: cards.def has a row a file, by
# memory. As a script it writes that list; a profile that is edited is read again with the next
# build. What a profile may hold beside what the simulated device needs stands in cards.h.
if(CMAKE_SCRIPT_MODE_FILE)
	# The value of one key; a semicolon would divide a list of CMake's.
	function(value_of key text into)
		set(value "")
		if(text MATCHES "\n${key} = ([^\n#]*)")
			string(STRIP "${CMAKE_MATCH_1}" value)
		endif()
		set(${into} "${value}" PARENT_SCOPE)
	endfunction()

	set(rows "")
	string(REPLACE "|" ";" files "${FILES}")
	foreach(file IN LISTS files)
		get_filename_component(card ${file} NAME_WLE)
		file(READ ${file} text)
		string(REPLACE ";" "<semicolon>" text "\n${text}")
		foreach(key name aliases memory_bytes memory_source memory_date compute_capability
				multiprocessors threads_per_multiprocessor context_bytes)
			value_of(${key} "${text}" ${key})
		endforeach()
		if(NOT memory_bytes MATCHES "^[1-9][0-9]*$" OR NOT name OR NOT memory_source OR
				NOT memory_date MATCHES "^20[0-9][0-9]-[01][0-9](-[0-3][0-9])?$")
			message(FATAL_ERROR "${file}: a card needs name, memory_bytes (a plain number), "
				"memory_source and memory_date")
		endif()
		if(NOT context_bytes MATCHES "^([1-9][0-9]*)MiB$")
			set(CMAKE_MATCH_1 0) # a card that is not simulated
		endif()
		set(context ${CMAKE_MATCH_1})
		set(major 0)
		if(compute_capability MATCHES "^([0-9]+)[.]" AND multiprocessors AND
				threads_per_multiprocessor)
			set(major ${CMAKE_MATCH_1})
		endif()
		foreach(key multiprocessors threads_per_multiprocessor)
			if(NOT ${key} MATCHES "^[1-9][0-9]*$")
				set(${key} 0)
			endif()
		endforeach()
		string(LENGTH ${memory_bytes} digits)
		math(EXPR missing "15 - ${digits}")
		string(REPEAT "0" ${missing} zeros)
		list(APPEND rows "${zeros}${memory_bytes}|CARD(\"${card}\", \"${name}\", \"${aliases}\", INT64_C(${memory_bytes}),\n     \"${memory_source}\", \"${memory_date}\", \"${compute_capability}\", ${context},\n     ${major}, ${multiprocessors}, ${threads_per_multiprocessor})")
	endforeach()
	list(SORT rows)
	set(def "/* The cards of simulator/devices, made by cmake/EmbedCards.cmake. */\n")
	foreach(row IN LISTS rows)
		string(REGEX REPLACE "^[0-9]+[|]" "" row "${row}")
		string(REPLACE "<semicolon>" ";" row "${row}")
		string(APPEND def "${row}\n")
	endforeach()
	file(WRITE ${OUT} "${def}")
	return()
endif()

set(EMBED_CARDS ${CMAKE_CURRENT_LIST_FILE})

# Makes cards.def of the profiles in FOLDER, which the sources of TARGET include.
function(embed_cards target folder)
	set(out ${CMAKE_CURRENT_BINARY_DIR}/cards)
	file(GLOB files CONFIGURE_DEPENDS ${folder}/*.conf)
	list(JOIN files "|" joined)
	add_custom_command(OUTPUT ${out}/cards.def
		COMMAND ${CMAKE_COMMAND} "-DFILES=${joined}" "-DOUT=${out}/cards.def" -P ${EMBED_CARDS}
		DEPENDS ${files} ${EMBED_CARDS} VERBATIM)
	target_sources(${target} PRIVATE ${out}/cards.def)
	target_include_directories(${target} PRIVATE ${out})
endfunction()
