/* store.c: the published table.  Readers never wait: they hold what they got until their next quiescent state. */
#include "engine/policy/policy.h"

#include <urcu-qsbr.h>
#include <urcu-pointer.h>

static struct policy_table *current;

void policy_publish(struct policy_table *table, void (*release)(struct policy_table *old))
{
    struct policy_table *old = rcu_xchg_pointer(&current, table);
    if (!old)
        return;
    urcu_qsbr_synchronize_rcu();
    release(old);
}

const struct policy_table *policy_current(void)
{
    return rcu_dereference(current);
}
