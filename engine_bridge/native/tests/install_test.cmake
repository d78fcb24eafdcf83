# Installs the build into a folder of its own, builds a small project against that, and runs it.
file(REMOVE_RECURSE "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix"
    COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
set(options -G "${GENERATOR}" "-DCMAKE_PREFIX_PATH=${WORK}/prefix" -DCMAKE_BUILD_TYPE=Release)
if(TOOLCHAIN)
    # A toolchain looks for packages in its own roots only.
    list(APPEND options "--toolchain" "${TOOLCHAIN}" "-Dbunraku_DIR=${WORK}/prefix/lib/cmake/bunraku")
endif()
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}/build" ${options}
    COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}/build" COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
if(RUN)
    execute_process(COMMAND "${WORK}/build/consumer" COMMAND_ERROR_IS_FATAL ANY)
endif()
