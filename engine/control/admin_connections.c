#include <yyjson.h> /* before base.h, whose `noinline` it would trip over */

#include "engine/control/admin_connections.h"

static void put_address(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key, const char *port_key,
                        const struct ip_addr *addr, uint16_t port)
{
    char text[IP_ADDR_TEXT_MAX];
    yyjson_mut_obj_add_strcpy(doc, to, key, ip_format(addr, text));
    yyjson_mut_obj_add_uint(doc, to, port_key, port);
}

static const char *tls_name(uint16_t version)
{
    return version == 0x0304 ? "1.3" : version == 0x0303 ? "1.2" : "";
}

static void put_tcp(yyjson_mut_doc *doc, yyjson_mut_val *to, const struct tcp_info *tcp)
{
    yyjson_mut_obj_add_str(doc, to, "state", tcp_state_name(tcp->state));
    yyjson_mut_obj_add_uint(doc, to, "mss", tcp->mss);
    yyjson_mut_obj_add_uint(doc, to, "srtt_us", tcp->srtt_us);
    yyjson_mut_obj_add_uint(doc, to, "rttvar_us", tcp->rttvar_us);
    yyjson_mut_obj_add_uint(doc, to, "rto_us", tcp->rto_us);
    yyjson_mut_obj_add_uint(doc, to, "cwnd_bytes", tcp->cwnd_bytes);
    if (tcp->ssthresh_bytes != UINT32_MAX) /* none yet */
        yyjson_mut_obj_add_uint(doc, to, "ssthresh_bytes", tcp->ssthresh_bytes);
    yyjson_mut_obj_add_uint(doc, to, "flight_bytes", tcp->flight_bytes);
    yyjson_mut_obj_add_uint(doc, to, "snd_wnd_bytes", tcp->snd_wnd_bytes);
    yyjson_mut_obj_add_uint(doc, to, "rcv_wnd_bytes", tcp->rcv_wnd_bytes);
    yyjson_mut_obj_add_uint(doc, to, "bytes_acked", tcp->bytes_acked);
    yyjson_mut_obj_add_uint(doc, to, "bytes_received", tcp->bytes_received);
    yyjson_mut_obj_add_uint(doc, to, "retransmits", tcp->retransmits);
}

static void put_connection(yyjson_mut_doc *doc, yyjson_mut_val *list, uint32_t core,
                           const struct core_connection *connection)
{
    yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
    yyjson_mut_obj_add_uint(doc, object, "core", core);
    put_address(doc, object, "peer", "peer_port", &connection->key.remote, connection->key.remote_port);
    put_address(doc, object, "local", "local_port", &connection->key.local, connection->key.local_port);
    yyjson_mut_obj_add_strcpy(doc, object, "host", connection->host);
    yyjson_mut_obj_add_str(doc, object, "phase", connection->phase);
    yyjson_mut_obj_add_str(doc, object, "tls", tls_name(connection->tls_version));
    yyjson_mut_obj_add_uint(doc, object, "messages", connection->messages);
    yyjson_mut_obj_add_uint(doc, object, "in_hand", connection->in_hand);
    yyjson_mut_obj_add_uint(doc, object, "age_us", connection->age_us);
    put_tcp(doc, object, &connection->tcp);
}

char *admin_json_connections(struct core_listing *const *listing, uint32_t cores, uint32_t max, size_t *len)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (!doc)
        return NULL;
    yyjson_mut_val *root = yyjson_mut_obj(doc), *list = yyjson_mut_arr(doc);
    uint32_t matching = 0, shown = 0;
    yyjson_mut_doc_set_root(doc, root);
    for (uint32_t c = 0; c < cores; c++) {
        matching += listing[c] ? listing[c]->matching : 0;
        for (uint32_t i = 0; listing[c] && i < listing[c]->count && shown < max; i++, shown++)
            put_connection(doc, list, c, &listing[c]->connection[i]);
    }
    yyjson_mut_obj_add_bool(doc, root, "ok", true);
    yyjson_mut_obj_add_uint(doc, root, "matching", matching);
    yyjson_mut_obj_add_val(doc, root, "connections", list);
    char *line = yyjson_mut_write(doc, YYJSON_WRITE_NEWLINE_AT_END, len);
    yyjson_mut_doc_free(doc);
    return line;
}
