// Endpoints, key files and the files by which streams are found.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bunraku/client.h"
#include "check.h"
#include "discovery.h"
#include "endpoint.h"
#include "key_file.h"
#include "text.h"

#if defined(_WIN32)
#include <process.h>
#define OWN_PROCESS _getpid()
#else
#include <unistd.h>
#define OWN_PROCESS getpid()
#endif

using namespace bunraku;

namespace {

constexpr char SERVER[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
constexpr char PUBLIC[] = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
constexpr char SECRET[] = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

std::string key_file(const char *server = SERVER) {
    return std::string("# keys of a client\r\n\nserver = \"") + server + "\"\npublic = \"" + PUBLIC + "\"\nsecret=\"" +
           SECRET + "\"";
}

std::string stream_file(const std::string &stream, unsigned long long process, const std::string &frames) {
    return "pid = " + std::to_string(process) + "\nsession = 123\nstream = \"" + stream + "\"\nframes = \"" + frames +
           "\"\ncontrol = \"tcp://127.0.0.1:5761\"\nweb = \"\"\nserver_key = \"\"\n";
}

bool is_good(const char *endpoint) {
    Rejection why;
    const bool good = check_endpoint(endpoint, why);
    CHECK(good || why.text[0] != '\0');
    return good;
}

// A folder that goes away again.
class Folder {
public:
    Folder() : path_(std::filesystem::temp_directory_path() / ("bunraku-test-" + std::to_string(OWN_PROCESS))) {
        std::filesystem::create_directories(path_);
    }
    ~Folder() { std::filesystem::remove_all(path_); }

    std::string path() const { return path_.string(); }
    std::string write(const std::string &name, const std::string &text) const {
        std::ofstream(path_ / name, std::ios::binary) << text;
        return (path_ / name).string();
    }

private:
    std::filesystem::path path_;
};

} // namespace

TEST("texts", "endpoints to connect to") {
    CHECK(is_good("tcp://127.0.0.1:5760"));
    CHECK(is_good("tcp://studio-2.local:1"));
    CHECK(is_good("tcp://[::1]:65535"));
    for (const char *endpoint :
         {"", "tcp://", "tcp://:5760", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://*:5760", "tcp://0.0.0.0:5760",
          "tcp://[::]:1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:5760/x", "tcp://a b:1",
          "udp://127.0.0.1:1", "tcp://[::1:5", "ipc://", "tcp://127.0.0.1:99999999999", "inproc://x"}) {
        CHECK(!is_good(endpoint));
    }
}

TEST("texts", "what is on this host") {
    CHECK(is_local("tcp://127.0.0.1:1"));
    CHECK(is_local("tcp://127.1.2.3:1"));
    CHECK(is_local("tcp://localhost:1"));
    CHECK(is_local("tcp://[::1]:1"));
    CHECK(is_local("ipc:///tmp/x"));
    CHECK(!is_local("tcp://192.168.1.2:1"));
    CHECK(!is_local("tcp://[fe80::1]:1"));
}

TEST("texts", "a producer elsewhere that names its own loopback is met elsewhere") {
    CHECK_EQUAL(reachable_control_endpoint("tcp://127.0.0.1:5761", "tcp://127.0.0.1:5760"), "tcp://127.0.0.1:5761");
    CHECK_EQUAL(reachable_control_endpoint("tcp://127.0.0.1:5761", "tcp://studio:5760"), "tcp://studio:5761");
    CHECK_EQUAL(reachable_control_endpoint("tcp://0.0.0.0:5761", "tcp://10.0.0.2:5760"), "tcp://10.0.0.2:5761");
    CHECK_EQUAL(reachable_control_endpoint("tcp://10.0.0.3:5761", "tcp://10.0.0.2:5760"), "tcp://10.0.0.3:5761");
}

TEST("texts", "a key file holds three keys") {
    CurveKeys keys;
    Rejection why;
    REQUIRE(read_keys(key_file(), keys, why));
    CHECK_EQUAL(keys.server, SERVER);
    CHECK_EQUAL(keys.own_public, PUBLIC);
    CHECK_EQUAL(keys.own_secret, SECRET);
    CHECK(!read_keys("", keys, why));
    CHECK(!read_keys(key_file("short"), keys, why));
    CHECK(!read_keys(key_file("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]y 7"), keys, why));
    CHECK(!is_key(std::string(40, '\0')));
    CHECK(!read_keys(key_file() + "\nnonsense", keys, why));
    CHECK(!read_keys(key_file("########################################"), keys,
                     why)); // beyond what 5 characters of Z85 can mean
}

TEST("texts", "a key file is read through the C ABI") {
    const Folder folder;
    char server[41];
    char own_public[41];
    char secret[41];
    char why[512];
    const std::string good = folder.write("good.key", key_file());
    CHECK_EQUAL(bunraku_read_key_file(good.c_str(), server, own_public, secret, why, sizeof why), BUNRAKU_OK);
    CHECK_EQUAL(std::string(server), SERVER);
    CHECK_EQUAL(std::string(secret), SECRET);
    const std::string bad = folder.write("bad.key", "server = 1");
    CHECK_EQUAL(bunraku_read_key_file(bad.c_str(), server, own_public, secret, why, sizeof why), BUNRAKU_BAD_KEY);
    CHECK(std::string(why).find("server") != std::string::npos);
    const std::string large = folder.write("large.key", std::string(9000, '\n'));
    CHECK_EQUAL(bunraku_read_key_file(large.c_str(), server, own_public, secret, why, sizeof why), BUNRAKU_NOT_FOUND);
    CHECK_EQUAL(bunraku_read_key_file("/no/such/file", server, own_public, secret, why, sizeof why), BUNRAKU_NOT_FOUND);
    CHECK_EQUAL(bunraku_read_key_file(nullptr, server, own_public, secret, why, sizeof why), BUNRAKU_BAD_ARGUMENT);
}

TEST("texts", "streams are found by name, or the first that lives") {
    const Folder folder;
    const auto own = static_cast<unsigned long long>(OWN_PROCESS);
    FoundStream found;
    CHECK(!find_stream(folder.path(), "", found));
    CHECK(!find_stream("", "", found));
    folder.write("a-dead.toml", stream_file("a-dead", 2147483646, "tcp://127.0.0.1:1000"));
    folder.write("b.toml", stream_file("b", own, "tcp://127.0.0.1:2000"));
    folder.write("c.toml", stream_file("c", own, "tcp://127.0.0.1:3000"));
    folder.write("aa.txt", stream_file("aa", own, "tcp://127.0.0.1:4000"));
    folder.write("ab.toml", "half a fi");
    REQUIRE(find_stream(folder.path(), "", found));
    CHECK_EQUAL(found.frames, "tcp://127.0.0.1:2000");
    CHECK_EQUAL(found.control, "tcp://127.0.0.1:5761");
    REQUIRE(find_stream(folder.path(), "c", found));
    CHECK_EQUAL(found.frames, "tcp://127.0.0.1:3000");
    CHECK(!find_stream(folder.path(), "a-dead", found));
    CHECK(!find_stream(folder.path(), "d", found));
}

TEST("texts", "a stream's file must make sense") {
    FoundStream found;
    CHECK(read_stream_file(stream_file("aki", 1, "tcp://127.0.0.1:1"), found));
    CHECK(!read_stream_file(stream_file("aki", 0, "tcp://127.0.0.1:1"), found));
    CHECK(!read_stream_file(stream_file("a/ki", 1, "tcp://127.0.0.1:1"), found));
    CHECK(!read_stream_file(stream_file("aki", 1, "tcp://*:1"), found));
    CHECK(!read_stream_file("stream = \"aki\"", found));
    CHECK(!read_stream_file("", found));
}

TEST("texts", "texts are cut between characters") {
    char out[4];
    copy_text("abcdef", out);
    CHECK_EQUAL(std::string(out), "abc");
    copy_text("ab\xc3\xa4", out);
    CHECK_EQUAL(std::string(out), "ab");
    copy_text("", out);
    CHECK_EQUAL(std::string(out), "");
}
