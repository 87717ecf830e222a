/* Libraries for public-key work and encryption: there or not, and their versions.  Asked by name at run time, so that this
 * program starts without them. */
#include "engine/cli/doctor.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *symbol(void *library, const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

static const char *openssl_text(void *library, int which)
{
    const char *(*version)(int) = NULL;
    *(void **)&version = symbol(library, "OpenSSL_version");
    return version ? version(which) : NULL;
}

/* OPENSSL_ENGINES_DIR, openssl/crypto.h; OpenSSL 4 has none. */
#define ENGINES_DIR 5

static void say_qatengine(struct doctor *d, void *openssl)
{
    char path[512];
    const char *text = openssl_text(openssl, ENGINES_DIR);
    const char *folder = text ? strchr(text, '"') : NULL;
    if (!folder)
        return;
    snprintf(path, sizeof(path), "%.*s/qatengine.so", (int)strcspn(folder + 1, "\""), folder + 1);
    if (access(path, R_OK) != 0)
        doctor_say(d, DOCTOR_WARN, "qatengine",
                   "only for crypto.backend = \"engine:qatengine\" (QAT): apt install qatengine",
                   "not there");
    else if (!dlopen(path, RTLD_LAZY | RTLD_LOCAL))
        doctor_say(d, DOCTOR_WARN, "qatengine", "apt install --reinstall qatengine libqat4",
                   "%s cannot be loaded: %.150s", path, dlerror());
    else
        doctor_say(d, DOCTOR_OK, "qatengine", NULL, "%s", path);
}

static void say_openssl(struct doctor *d)
{
    void *library = dlopen("libcrypto.so.3", RTLD_LAZY);
    const char *version = openssl_text(library, 0);
    if (!version) {
        doctor_say(d, DOCTOR_MISSING, "openssl", "apt install libssl3t64", "libcrypto.so.3 is not there");
        return;
    }
    const char *number = strchr(version, ' ');
    bool new_enough = number && strtod(number, NULL) >= 3.5;
    doctor_say(d, new_enough ? DOCTOR_OK : DOCTOR_MISSING, "openssl",
               new_enough ? NULL : "hardline is built for 3.5 LTS, which Debian 13 has", "%s", version);
    say_qatengine(d, library);
}

/* crypto_mb's mbxVersion: three numbers first. */
static void say_crypto_mb(struct doctor *d)
{
    void *library = dlopen("libcrypto_mb.so", RTLD_LAZY);
    for (int i = 11; !library && i <= 13; i++) {
        char name[32];
        snprintf(name, sizeof(name), "libcrypto_mb.so.%d", i);
        library = dlopen(name, RTLD_LAZY);
    }
    const int *(*version)(void) = NULL;
    *(void **)&version = symbol(library, "mbx_getversion");
    if (!library)
        doctor_say(d, DOCTOR_WARN, "crypto_mb",
                   "handshakes are computed one at a time: apt install libcrypto-mb-dev", "not there");
    else if (version)
        doctor_say(d, DOCTOR_OK, "crypto_mb", NULL, "version %d.%d.%d", version()[0], version()[1],
                   version()[2]);
    else
        doctor_say(d, DOCTOR_OK, "crypto_mb", NULL, "there");
}

static void say_ipsec_mb(struct doctor *d)
{
    void *library = dlopen("libIPSec_MB.so.2", RTLD_LAZY);
    const char *(*version)(void) = NULL;
    if (!library)
        library = dlopen("libIPSec_MB.so.1", RTLD_LAZY);
    *(void **)&version = symbol(library, "imb_get_version_str");
    if (library)
        doctor_say(d, DOCTOR_OK, "ipsec_mb", NULL, "version %s", version ? version() : "unknown");
    else
        doctor_say(d, DOCTOR_WARN, "ipsec_mb", "bulk encryption is OpenSSL's alone: apt install libipsec-mb2",
                   "not there");
}

void doctor_crypto(struct doctor *d)
{
    say_openssl(d);
    say_crypto_mb(d);
    say_ipsec_mb(d);
}
