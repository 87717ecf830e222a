/* What only this machine can tell: CPUs, users, files, interfaces. */
#include "engine/control/config_reader.h"
#include "engine/control/privilege.h"

#include <errno.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static void check_cpus(const struct config *config, struct config_report *report)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return;
    for (uint32_t i = 0; i < config->cores.count; i++)
        if (config->cores.cpu[i] >= CPU_SETSIZE || !CPU_ISSET(config->cores.cpu[i], &set))
            config_report_add(
                report, "cores.cpus: CPU %u is not there or not allowed to this process: see `taskset -p $$`",
                config->cores.cpu[i]);
}

static void check_user(const struct config *config, struct config_report *report)
{
    uint32_t uid, gid;
    struct error err;
    if (config->run.user[0] && !privilege_find(config->run.user, config->run.group, &uid, &gid, &err))
        config_report_add(report, "run.user: %s", err.text);
    if (config->feed.group[0] && !privilege_find("0", config->feed.group, &uid, &gid, &err))
        config_report_add(report, "feed.group: %s", err.text);
}

static void check_readable(const char *what, const char *file, struct config_report *report)
{
    if (*file && access(file, R_OK) != 0)
        config_report_add(report, "%s: %.200s cannot be read: %s", what, file, strerror(errno));
}

/* The directory that a file is to be made in. */
static void check_directory(const char *what, const char *file, struct config_report *report)
{
    char directory[CONFIG_TEXT_MAX];
    const char *slash = strrchr(file, '/');
    if (!slash || slash == file)
        return;
    snprintf(directory, sizeof(directory), "%.*s", (int)(slash - file), file);
    if (access(directory, W_OK | X_OK) != 0)
        config_report_add(report, "%s: %.200s cannot be written in: %s", what, directory, strerror(errno));
}

/* "net_af_packet0,iface=veth1": the kernel's interface that the device sits on. */
static void check_interface(const struct config *config, struct config_report *report)
{
    char name[IF_NAMESIZE] = "";
    const char *iface = strstr(config->port.device, "iface=");
    if (strncmp(config->port.device, "net_af_", 7) != 0 || !iface)
        return;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(iface + 6, ","), iface + 6);
    if (if_nametoindex(name) == 0)
        config_report_add(report, "port.device: there is no interface \"%s\": see `ip link`", name);
}

bool config_check_machine(const struct config *config, struct config_report *report)
{
    uint32_t before = report->count + report->more;
    check_cpus(config, report);
    check_user(config, report);
    check_interface(config, report);
    check_readable("crypto.ca-file", config->crypto.ca_file, report);
    for (uint32_t i = 0; i < config->tls_rules; i++) {
        char what[32];
        snprintf(what, sizeof(what), "tls[%u].ca-file", i);
        check_readable(what, config->tls_rule[i].ca_file, report);
    }
    if (config->run.log[0] == '/')
        check_directory("run.log", config->run.log, report);
    check_directory("run.pid-file", config->run.pid_file, report);
    check_directory("run.key-log", config->run.key_log, report);
    check_directory("port.pcap", config->port.pcap, report);
    return report->count + report->more == before;
}
