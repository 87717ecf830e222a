/* bench/bench.h: the subcommands of hardline-bench; each reads its own options and returns the exit status. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

int farm_main(int argc, char **argv);     /* farm.c: a receiving MX that checks what it receives */
int generate_main(int argc, char **argv); /* generate.c: a producer that fills the ring */
int trickle_main(int argc, char **argv); /* trickle.c: many connections without TLS, a message now and then */

#endif
