/*
 * /bin/sh of the conformance tests' busybox image: busybox's own shell, whose words they compare;
 * but Debian's drops environment variables that are no identifiers (`data-1`), and then it is bash.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

extern char **environ;

static bool is_identifier(const char *variable)
{
        if (isdigit((unsigned char)*variable))
                return false;
        while (isalnum((unsigned char)*variable) || *variable == '_')
                variable++;
        return *variable == '=';
}

int main(int argc, char **argv)
{
        const char *shell = "/bin/busybox";

        (void)argc;
        for (char **variable = environ; *variable != NULL; variable++)
                if (!is_identifier(*variable))
                        shell = "/bin/bash";
        execv(shell, argv);
        return 127;
}
