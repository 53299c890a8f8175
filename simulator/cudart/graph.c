/* graph.c - CUDA graphs: instantiated graphs are copies, a launch is their work at once. */
#include "cudart.h"
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>

int cudaGraphCreate(graph_t *graph, unsigned flags)
{
	(void)flags;
	*graph = tmksim_graph_create();
	return *graph ? 0 : cudart_error(ERROR_OUT_OF_MEMORY);
}

int cudaGraphDestroy(graph_t graph)
{
	tmksim_graph_destroy(graph);
	return 0;
}

int cudaGraphClone(graph_t *clone, graph_t graph)
{
	*clone = tmksim_graph_clone(graph);
	return *clone ? 0 : cudart_error(ERROR_OUT_OF_MEMORY);
}

int cudaGraphInstantiateWithFlags(graph_t *executable, graph_t graph,
                                  unsigned long long flags)
{
	(void)flags;
	return cudaGraphClone(executable, graph);
}

int cudaGraphInstantiate(graph_t *executable, graph_t graph, unsigned long long flags)
{
	return cudaGraphInstantiateWithFlags(executable, graph, flags);
}

int cudaGraphInstantiateWithParams(graph_t *executable, graph_t graph, void *parameters)
{
	(void)parameters;
	return cudaGraphClone(executable, graph);
}

int cudaGraphExecDestroy(graph_t executable)
{
	tmksim_graph_destroy(executable);
	return 0;
}

int cudaGraphExecUpdate(graph_t executable, graph_t graph, void *result)
{
	(void)executable, (void)graph;
	*(int *)result =
	        0; /* in 12.0 and later a struct that begins with the verdict */
	return 0;
}

int cudaGraphUpload(graph_t executable, stream_t stream)
{
	(void)executable, (void)stream;
	return 0;
}

int cudaGraphLaunch(graph_t executable, stream_t stream)
{
	tmksim_graph_launch(executable, stream);
	return 0;
}

int cudaGraphGetNodes(graph_t graph, void **nodes, size_t *count)
{
	if (!nodes) {
		*count = tmksim_graph_nodes(graph);
		return 0;
	}
	for (size_t i = 0; i < *count; i++)
		nodes[i] = (void *)(i + 1); /* a node is its number */
	return 0;
}

#if TMKSIM_MAJOR < 13
int cudaGraphNodeGetDependencies(void *node, void **dependencies, size_t *count)
{
	(void)node, (void)dependencies;
	*count = 0;
	return 0;
}
#else
int cudaGraphNodeGetDependencies(void *node, void **dependencies, void *edges,
                                 size_t *count)
{
	(void)node, (void)dependencies, (void)edges;
	*count = 0;
	return 0;
}
#endif

int cudaGraphNodeGetType(void *node, int *type)
{
	(void)node;
	*type = 0; /* a kernel */
	return 0;
}

int cudaGraphDebugDotPrint(graph_t graph, const char *path, unsigned flags)
{
	(void)flags;
	FILE *file = fopen(path, "we");
	if (!file)
		return cudart_error(ERROR_INVALID_VALUE);
	fprintf(file, "digraph { label=\"%zu nodes\" }\n", tmksim_graph_nodes(graph));
	fclose(file);
	return 0;
}

int cudaGraphConditionalHandleCreate(unsigned long long *handle, graph_t graph,
                                     unsigned initial, unsigned flags)
{
	static _Atomic unsigned long long handles;
	(void)graph, (void)initial, (void)flags;
	*handle = ++handles;
	return 0;
}

/* User objects: the reference a graph takes is dropped when the last one is released. */
struct user_object {
	void *data;
	void (*destroy)(void *);
	_Atomic long references;
};

int cudaUserObjectCreate(struct user_object **object, void *data,
                         void (*destroy)(void *), unsigned references, unsigned flags)
{
	(void)flags;
	*object = calloc(1, sizeof(**object));
	if (!*object)
		return cudart_error(ERROR_OUT_OF_MEMORY);
	**object = (struct user_object){data, destroy, references};
	return 0;
}

int cudaUserObjectRetain(struct user_object *object, unsigned count)
{
	object->references += count;
	return 0;
}

int cudaUserObjectRelease(struct user_object *object, unsigned count)
{
	if ((object->references -= count) == 0) {
		object->destroy(object->data);
		free(object);
	}
	return 0;
}

int cudaGraphRetainUserObject(graph_t graph, struct user_object *object, unsigned count,
                              unsigned flags)
{
	/* graphs are copied freely: what one retains lives as long as the process; flag 1
	 * hands the caller's own references over, else the graph takes its own */
	(void)graph;
	if (!(flags & 1))
		object->references += count;
	return 0;
}

int cudaDeviceGetGraphMemAttribute(int device, int attribute, void *value)
{
	(void)device, (void)attribute;
	*(uint64_t *)value = 0; /* no memory nodes here */
	return 0;
}

int cudaDeviceSetGraphMemAttribute(int device, int attribute, void *value)
{
	(void)device, (void)attribute, (void)value;
	return 0;
}

int cudaDeviceGraphMemTrim(int device)
{
	(void)device;
	return 0;
}
