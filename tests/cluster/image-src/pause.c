/*
 * The program of a pause image: sleeps until it is told to end, and reaps what it inherits.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal)
{
        (void)signal;
        _exit(EXIT_SUCCESS);
}

static void reap(int signal)
{
        (void)signal;
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
}

int main(void)
{
        struct sigaction on_end = { .sa_handler = end },
                         on_child = { .sa_handler = reap, .sa_flags = SA_NOCLDSTOP };

        if (sigaction(SIGTERM, &on_end, NULL) < 0 || sigaction(SIGINT, &on_end, NULL) < 0 ||
            sigaction(SIGCHLD, &on_child, NULL) < 0)
                return EXIT_FAILURE;
        for (;;)
                pause();
}
