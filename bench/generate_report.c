#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "bench/generate.h"

#include <stdio.h>

uint64_t generate_failed(const struct generate_phase *phase)
{
    return phase->submitted - phase->verdict[HL_DELIVERED];
}

static const struct {
    const char *name;
    double share;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}};

/* Percentiles, and the buckets that hold anything, as [microseconds, count], for plots. */
static void add_latency(yyjson_mut_doc *doc, yyjson_mut_val *to, const struct histogram *h)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, to, "latency_us");
    yyjson_mut_obj_add_uint(doc, object, "count", h->total);
    if (h->total == 0)
        return;
    yyjson_mut_obj_add_uint(doc, object, "min", h->least);
    yyjson_mut_obj_add_uint(doc, object, "mean", h->sum / h->total);
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
        yyjson_mut_obj_add_uint(doc, object, percentiles[i].name, histogram_at(h, percentiles[i].share));
    yyjson_mut_obj_add_uint(doc, object, "max", h->most);
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, "buckets");
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!h->count[i])
            continue;
        yyjson_mut_val *pair = yyjson_mut_arr_add_arr(doc, list);
        yyjson_mut_arr_add_uint(doc, pair, histogram_value(i));
        yyjson_mut_arr_add_uint(doc, pair, h->count[i]);
    }
}

static void add_outcomes(yyjson_mut_doc *doc, yyjson_mut_val *to, const struct generate_phase *phase)
{
    yyjson_mut_val *verdicts = yyjson_mut_obj_add_obj(doc, to, "verdicts");
    for (int v = HL_DELIVERED; v < (int)GENERATE_VERDICTS; v++)
        yyjson_mut_obj_add_uint(doc, verdicts, hl_verdict_name(v), phase->verdict[v]);
    yyjson_mut_obj_add_uint(doc, verdicts, "no result", phase->submitted - phase->done);
    yyjson_mut_val *reasons = yyjson_mut_obj_add_obj(doc, to, "reasons");
    for (int r = 0; r < (int)GENERATE_REASONS; r++)
        if (phase->reason[r])
            yyjson_mut_obj_add_uint(doc, reasons, hl_reason_name(r), phase->reason[r]);
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, to, "complaints");
    for (uint32_t i = 0; i < phase->complaints; i++)
        yyjson_mut_arr_add_str(doc, list, phase->complaint[i]);
}

static void add_phase(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *name,
                      const struct generate_phase *phase, bool rated)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, name);
    double seconds = (double)(phase->ended_us - phase->began_us) / 1e6;
    yyjson_mut_obj_add_uint(doc, object, "submitted", phase->submitted);
    yyjson_mut_obj_add_uint(doc, object, "delivered", phase->verdict[HL_DELIVERED]);
    yyjson_mut_obj_add_uint(doc, object, "failed", generate_failed(phase));
    yyjson_mut_obj_add_uint(doc, object, "bytes", phase->bytes);
    yyjson_mut_obj_add_real(doc, object, "seconds", seconds);
    yyjson_mut_obj_add_real(doc, object, "per_s",
                            seconds > 0 ? (double)phase->verdict[HL_DELIVERED] / seconds : 0);
    yyjson_mut_obj_add_uint(doc, object, "with_tls", phase->with_tls);
    yyjson_mut_obj_add_uint(doc, object, "reused", phase->reused);
    yyjson_mut_obj_add_uint(doc, object, "resumed", phase->resumed);
    yyjson_mut_obj_add_uint(doc, object, "ring_full", phase->ring_full);
    yyjson_mut_obj_add_real(doc, object, "ring_full_s", (double)phase->ring_full_us / 1e6);
    if (rated)
        yyjson_mut_obj_add_real(doc, object, "late_s", (double)phase->late_us / 1e6);
    add_outcomes(doc, object, phase);
    add_latency(doc, object, &phase->latency_us);
}

bool generate_report(const struct generate_options *options, const struct generate_phase *warmup,
                     const struct generate_phase *measured, const char *trouble)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (!doc)
        return false;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "event", "done");
    yyjson_mut_obj_add_uint(doc, root, "run", options->run + 1);
    yyjson_mut_obj_add_uint(doc, root, "destinations", options->destinations);
    yyjson_mut_obj_add_real(doc, root, "rate", options->rate);
    yyjson_mut_obj_add_str(doc, root, "trouble", trouble);
    add_phase(doc, root, "warmup", warmup, options->rate > 0);
    add_phase(doc, root, "measured", measured, options->rate > 0);
    char *line = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, NULL);
    yyjson_mut_doc_free(doc);
    if (line)
        fputs(line, stdout);
    fflush(stdout);
    free(line);
    return line != NULL;
}
