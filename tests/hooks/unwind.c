/* unwind.c - an exception passes through frames that have something to put back, and the
 * personality routine that they name is that of hooks/unwind.c. The unwinder is the system's. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unwind.h>

static jmp_buf caught;
static void *farthest;
static char done[8];
static int count;

static void put_back(const char *name)
{
	done[count++] = *name;
}

static _Unwind_Reason_Code stop(int version, _Unwind_Action actions,
                                _Unwind_Exception_Class class,
                                struct _Unwind_Exception *exception,
                                struct _Unwind_Context *context, void *argument)
{
	(void)version, (void)class, (void)exception, (void)argument;
	if ((actions & _UA_END_OF_STACK) || (void *)_Unwind_GetCFA(context) > farthest)
		longjmp(caught, 1);
	return _URC_NO_REASON;
}

static __attribute__((noinline)) void throws(int depth)
{
	static struct _Unwind_Exception exception;
	if (depth == 3)
		_Unwind_ForcedUnwind(&exception, stop, NULL);
}

static __attribute__((noinline)) void inner(int depth)
{
	throws(0); /* a call that nothing has to be put back for */
	char name __attribute__((cleanup(put_back))) = 'a';
	throws(1);
	{
		char second __attribute__((cleanup(put_back))) = 'b';
		throws(depth);
	}
	throws(2);
}

static __attribute__((noinline)) void between(int depth)
{
	inner(depth);
	throws(1);
}

static __attribute__((noinline)) void outer(int depth)
{
	char name __attribute__((cleanup(put_back))) = 'c';
	between(depth);
}

int main(void)
{
	farthest = __builtin_frame_address(0);
	if (!setjmp(caught))
		outer(3);
	printf("put back: %s\n", done);
	return count == 3 && done[0] == 'b' && done[1] == 'a' && done[2] == 'c'
	               ? EXIT_SUCCESS
	               : EXIT_FAILURE;
}
