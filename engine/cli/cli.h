/* cli.h: the commands of `hardline`; each gets "hardline NAME" as argv[0] and returns the exit status (sysexits.h). */
#ifndef ENGINE_CLI_CLI_H
#define ENGINE_CLI_CLI_H

#define CLI_ADMIN_SOCKET "/run/hardline/admin.sock"

int cli_submit(int argc, char **argv);  /* submit.c */
int cli_status(int argc, char **argv);  /* status.c */
int cli_capture(int argc, char **argv); /* capture.c */
int cli_order(int argc, char **argv);   /* order.c: reload, drain, stop, ping */
int cli_doctor(int argc, char **argv);  /* doctor.c */

#endif
