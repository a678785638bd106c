/* Runs the arm64 Python of the root that it lies in, on the processor that its own name ends in
(`/counted-cortex-a72 ARGUMENT…`), with the plugin. In place of Python it can start a Python's
children as well, so these are counted, too. */
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments) {
    char *command[64] = {"/host/ld.so", "--library-path", "/host", "/host/qemu-aarch64", "-cpu",
                         strstr(arguments[0], "cortex"), "-plugin", "/host/count.so,folder=/work/counts",
                         "/usr/bin/python3.11"};
    int place = 9;
    for (int i = 1; i < count && place < 63; i++) command[place++] = arguments[i];
    execv(command[0], command);
    return 127;
}
