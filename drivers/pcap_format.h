/* pcap_format.h: what a classic pcap file consists of: microseconds, Ethernet, this machine's byte order. */
#ifndef DRIVERS_PCAP_FORMAT_H
#define DRIVERS_PCAP_FORMAT_H

#include "engine/base/base.h"

struct pcap_file_header {
    uint32_t magic;
    uint16_t version_major, version_minor;
    int32_t zone;
    uint32_t accuracy, snap_len, link_type;
};

struct pcap_frame_header {
    uint32_t seconds, microseconds;
    uint32_t captured, length; /* bytes */
};

static inline struct pcap_file_header pcap_file_header(void)
{
    return (struct pcap_file_header){
        .magic = 0xa1b2c3d4u,
        .version_major = 2,
        .version_minor = 4,
        .snap_len = UINT16_MAX,
        .link_type = 1, /* LINKTYPE_ETHERNET */
    };
}

/* wall_us: since 1970. */
static inline struct pcap_frame_header pcap_frame_header(uint64_t wall_us, uint32_t captured, uint32_t length)
{
    return (struct pcap_frame_header){
        .seconds = (uint32_t)(wall_us / 1000000u),
        .microseconds = (uint32_t)(wall_us % 1000000u),
        .captured = captured,
        .length = length,
    };
}

#endif
