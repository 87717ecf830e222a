/* play.h: plays one conversation. */
#ifndef TESTS_TALK_PLAY_H
#define TESTS_TALK_PLAY_H

#include "engine/tcp/tcb.h"

#include <stdio.h>

#define PLAY_QUEUE    256u
#define PLAY_SENT_MAX 65536u

struct play_sent {
    struct tcp_segment seg; /* relative; payload not kept */
    uint64_t at_us;
};

struct play {
    const char *folder; /* where includes are */
    uint64_t now_us;    /* since the script's start */
    struct tcp_config config;
    struct stats stats;
    struct pkt_pool *tx, *rx;
    struct tcb tcb;
    bool open, listening;
    uint32_t isn, peer_isn; /* what 0 stands for */
    uint16_t open_mss;
    uint8_t ip_header_bytes;
    uint32_t path_mss;
    uint32_t pool_packets;
    uint32_t refuse;                   /* so many emits are refused next */
    uint32_t written, read;            /* stream bytes */
    unsigned events;                   /* that came up and were not asked for */
    struct play_sent sent[PLAY_QUEUE]; /* segments that no line has taken yet */
    unsigned sent_count;
    char fault[1024]; /* empty: none */
};

/* play_file plays a script; false: play->fault says at which line what was expected and what came. */
bool play_file(struct play *play, const char *path, const char *folder);

/* For the lines of a script: */

/* play_fault keeps the first fault; always false. */
bool play_fault(struct play *p, const char *format, ...) printf_like(2, 3);

/* play_settle lets the stack send what it may. */
void play_settle(struct play *p);
bool play_open_pools(struct play *p);
struct tcp_open play_open_arguments(struct play *p);
uint64_t play_clock_us(const struct play *p);
bool play_number(struct play *p, const char *text, uint64_t *value);

/* The byte at an offset of a stream; salt 1: ours, 2: the peer's. */
uint8_t play_pattern(uint32_t offset, uint8_t salt);

#endif
