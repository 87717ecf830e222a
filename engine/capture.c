/* capture.c: `hardline capture`: a tap in every core; control makes a pcap file of what they give, for the client to write. */
#include "engine/engine.h"

#include "drivers/pcap_format.h"
#include "engine/base/clock.h"
#include "engine/control/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PART_BYTES (256u * 1024u)
#define SETTLE_US \
    50000u /* what several cores gave is put in order once the slowest of them has given its share */
#define PART_HEAD 64u /* room for {"bytes":...} */

/* ---- taps ---- */

static bool is_given_back(const struct hl_engine *engine, uint32_t core)
{
    const struct tap *tap = engine->capture.tap[core];
    return atomic_load_explicit(&tap->released, memory_order_acquire) ||
           core_stopped(engine->core[core].core);
}

static void close_tap(struct hl_engine *engine, uint32_t core)
{
    struct tap *tap = engine->capture.tap[core];
    if (tap)
        tap_close(tap);
    free(tap);
    engine->capture.tap[core] = NULL;
}

void engine_collect_taps(struct hl_engine *engine)
{
    for (uint32_t i = 0; i < engine->cores && !engine->capture.running; i++)
        if (engine->capture.tap[i] && is_given_back(engine, i))
            close_tap(engine, i);
}

static bool open_tap(struct hl_engine *engine, uint32_t core, const struct wire_match *match,
                     struct error *err)
{
    size_t bytes = (sizeof(struct tap) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct tap *tap = aligned_alloc(CACHE_LINE, bytes);
    if (!tap || !tap_open(tap, match, err)) {
        free(tap);
        return tap != NULL || error_set(err, "no memory for a capture");
    }
    if (!core_tell(engine->core[core].core, CORE_TAP, tap)) {
        tap_close(tap);
        free(tap);
        return error_set(err, "core %u takes no command: it is stuck", core);
    }
    engine->capture.tap[core] = tap;
    return true;
}

static void end_taps(struct hl_engine *engine)
{
    engine->capture.running = false;
    for (uint32_t i = 0; i < engine->cores; i++)
        if (engine->capture.tap[i])
            atomic_store_explicit(&engine->capture.tap[i]->ended, true, memory_order_release);
    engine_collect_taps(engine);
}

void engine_close_taps(struct hl_engine *engine)
{
    for (uint32_t i = 0; i < CORE_MAX; i++)
        close_tap(engine, i);
}

/* ---- begin and end ---- */

static uint64_t wall_offset_us(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return (uint64_t)wall.tv_sec * 1000000u + (uint64_t)wall.tv_nsec / 1000u - clock_now_us();
}

static const char *peer_text(const struct admin_request *request, char text[IP_ADDR_TEXT_MAX + 16])
{
    char addr[IP_ADDR_TEXT_MAX];
    if (request->port)
        snprintf(text, IP_ADDR_TEXT_MAX + 16, "%s port %u", ip_format(&request->peer, addr), request->port);
    else
        snprintf(text, IP_ADDR_TEXT_MAX + 16, "%s", ip_format(&request->peer, addr));
    return text;
}

bool engine_begin_capture(struct hl_engine *engine, const struct admin_request *request, struct error *err)
{
    struct engine_capture *capture = &engine->capture;
    const struct wire_match match = {.peer = request->peer, .port = request->port};
    char text[IP_ADDR_TEXT_MAX + 16];
    engine_collect_taps(engine);
    for (uint32_t i = 0; i < engine->cores; i++)
        if (capture->tap[i])
            return error_set(err, "a capture of %s runs already: wait for its end, or end it",
                             peer_text(&capture->request, text));
    capture->request = *request;
    capture->frames = capture->bytes = 0;
    capture->begun = false;
    capture->until_us = clock_now_us() + request->seconds * 1000000ull;
    capture->wall_offset_us = wall_offset_us();
    capture->running = true;
    for (uint32_t i = 0; i < engine->cores; i++) {
        if (!open_tap(engine, i, &match, err)) {
            end_taps(engine);
            return false;
        }
    }
    log_notice("capture of %s begins: at most %u frames, %u MB, %u s", peer_text(request, text),
               request->frames, request->megabytes, request->seconds);
    return true;
}

static uint64_t lost(const struct hl_engine *engine)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < engine->cores; i++)
        if (engine->capture.tap[i])
            sum += atomic_load_explicit(&engine->capture.tap[i]->lost, memory_order_relaxed);
    return sum;
}

void engine_finish_capture(struct hl_engine *engine)
{
    const struct engine_capture *capture = &engine->capture;
    char text[IP_ADDR_TEXT_MAX + 16];
    log_notice("capture of %s ends: %llu frames, %llu lost", peer_text(&capture->request, text),
               (unsigned long long)capture->frames, (unsigned long long)lost(engine));
    end_taps(engine);
}

/* ---- the stream ---- */

/* Younger frames wait: of another core there may be older ones yet. */
static uint64_t settled_us(const struct hl_engine *engine)
{
    bool alone = engine->cores == 1 || engine_cores_stopped(engine);
    uint64_t now_us = clock_now_us();
    return min_u64(engine->capture.until_us, alone ? now_us : now_us - SETTLE_US);
}

/* The tap whose oldest frame is the oldest of all, and not from after until_us; NULL: there is none. */
static struct tap *oldest(const struct hl_engine *engine, uint64_t until_us)
{
    const struct engine_capture *capture = &engine->capture;
    struct tap *best = NULL;
    uint64_t best_us = until_us;
    for (uint32_t i = 0; i < engine->cores; i++) {
        const struct tap_frame *frame = capture->tap[i] ? tap_first(capture->tap[i]) : NULL;
        if (frame && frame->time_us <= best_us) {
            best = capture->tap[i];
            best_us = frame->time_us;
        }
    }
    return best;
}

static size_t put_frame(struct engine_capture *capture, char *at, const struct tap_frame *frame)
{
    const struct pcap_frame_header header =
        pcap_frame_header(frame->time_us + capture->wall_offset_us, frame->captured, frame->length);
    memcpy(at, &header, sizeof(header));
    memcpy(at + sizeof(header), frame->bytes, frame->captured);
    capture->frames++;
    return sizeof(header) + frame->captured;
}

static bool is_full(const struct engine_capture *capture)
{
    return capture->frames >= capture->request.frames ||
           capture->bytes >= (uint64_t)capture->request.megabytes * 1000000u;
}

static size_t put_frames(struct hl_engine *engine, char *at, size_t room)
{
    struct engine_capture *capture = &engine->capture;
    size_t used = 0;
    uint64_t until_us = settled_us(engine);
    for (struct tap *tap; !is_full(capture) && (tap = oldest(engine, until_us)); tap_drop(tap)) {
        const struct tap_frame *frame = tap_first(tap);
        if (sizeof(struct pcap_frame_header) + frame->captured > room - used)
            break;
        size_t bytes = put_frame(capture, at + used, frame);
        used += bytes;
        capture->bytes += bytes;
    }
    return used;
}

static bool all_begun(const struct hl_engine *engine)
{
    for (uint32_t i = 0; i < engine->cores; i++)
        if (!atomic_load_explicit(&engine->capture.tap[i]->begun, memory_order_acquire) &&
            !core_stopped(engine->core[i].core))
            return false;
    return true;
}

/* Why it is over; NULL: it is not. */
static const char *end_of(const struct hl_engine *engine)
{
    const struct engine_capture *capture = &engine->capture;
    if (capture->frames >= capture->request.frames)
        return "frames";
    if (is_full(capture))
        return "megabytes";
    if (clock_now_us() > capture->until_us + SETTLE_US)
        return "seconds";
    return engine_cores_stopped(engine) ? "stop" : NULL;
}

static size_t put_head(char *part, char *content)
{
    const struct pcap_file_header header = pcap_file_header();
    memcpy(content, &header, sizeof(header));
    return (size_t)sprintf(part, "{\"ok\":true}\n{\"bytes\":%zu}\n", sizeof(header));
}

/* A part is its announcement, its bytes, and behind the last of them the line that closes the answer. */
char *engine_more_capture(struct hl_engine *engine, size_t *len, bool *over)
{
    struct engine_capture *capture = &engine->capture;
    char head[PART_HEAD], *content = malloc(PART_HEAD + PART_BYTES + 256), *end;
    const char *why = end_of(engine);
    size_t head_len = 0, bytes = 0;
    *over = !content;
    if (!content || (!capture->begun && !all_begun(engine) && !why)) {
        free(content);
        return NULL;
    }
    if (!capture->begun) {
        head_len = put_head(head, content + PART_HEAD);
        bytes = sizeof(struct pcap_file_header);
        capture->begun = true;
    } else {
        bytes = put_frames(engine, content + PART_HEAD, PART_BYTES);
        head_len = bytes ? (size_t)sprintf(head, "{\"bytes\":%zu}\n", bytes) : 0;
    }
    memcpy(content, head, head_len);
    memmove(content + head_len, content + PART_HEAD, bytes);
    end = content + head_len + bytes;
    if (why && bytes == 0) {
        end +=
            snprintf(end, 200, "{\"ok\":true,\"end\":\"%s\",\"frames\":%llu,\"bytes\":%llu,\"lost\":%llu}\n",
                     why, (unsigned long long)capture->frames, (unsigned long long)capture->bytes,
                     (unsigned long long)lost(engine));
        *over = true;
    }
    *len = (size_t)(end - content);
    if (*len > 0)
        return content;
    free(content);
    return NULL;
}
