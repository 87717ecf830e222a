/* bench/farm_options.h: what `hardline-bench farm` was asked for. */
#ifndef BENCH_FARM_OPTIONS_H
#define BENCH_FARM_OPTIONS_H

#include "bench/farm_smtp.h"
#include "bench/farm_tls.h"
#include "engine/net/net.h"

#define FARM_FAULTS_MAX 8u

/* "451:1%@rcpt": so many of the good answers at that stage are replaced. */
struct farm_fault {
    char reply[64];
    uint32_t ppm;
    enum farm_stage stage;
};

struct farm_options {
    const char *device;
    struct net_config net;
    uint32_t addresses; /* of net.address and its ranges together */
    uint32_t names;
    const char *domain;
    uint16_t port, tls_port; /* 0: none */
    enum farm_key kinds[2];
    const char *key_text, *ca_out;
    struct farm_tls_config tls;
    bool plain, chunking, any_message, poll;
    int cpu; /* -1: any */
    uint32_t connections, buffers, memory_mb;
    uint32_t idle_timeout_s; /* 0: never */
    uint32_t latency_us, hold, hold_us, work_us;
    struct farm_fault fault[FARM_FAULTS_MAX];
    uint32_t faults;
    uint32_t cut_ppm, refuse_ppm;
    bool greylist;
    const char *rx_faults, *tx_faults;
    uint64_t messages; /* 0: until a signal comes */
    uint64_t seed;
    const char *json;
    uint32_t status_s;
};

/* farm_options_read: -1: go on; else the exit status, and everything has been said. */
int farm_options_read(struct farm_options *options, int argc, char **argv);

/* farm_options_addresses adds "10.1.0.1/24+1000": 1000 addresses from the first on, and the route of their network. */
bool farm_options_addresses(struct farm_options *options, const char *text, struct error *err) must_check;

/* farm_options_fault adds "451:1%" or "451:1%@rcpt"; stages: greeting, ehlo, mail, rcpt, message (if none is given). */
bool farm_options_fault(struct farm_options *options, const char *text, struct error *err) must_check;

/* farm_options_index: which of the addresses it is, in their order; 0 if none. */
uint32_t farm_options_index(const struct farm_options *options, const struct ip_addr *addr);

#endif
