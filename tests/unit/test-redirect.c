#include "kubelet/redirect.h"

#include "base/text.h"
#include "tests/check.h"

static void check_followed(const char *url, const char *location, const char *expected)
{
        _cleanup_free_ char *next = NULL;

        CHECK_INT(redirect_follow(url, location, &next), 1);
        CHECK_STR(next, expected);
}

TEST(a_redirect_on_the_same_host_is_followed)
{
        check_followed("http://10.0.0.1:80/a", "/b", "http://10.0.0.1:80/b");
        check_followed("http://10.0.0.1:80/a?x", "b", "http://10.0.0.1:80/b");
        check_followed("http://10.0.0.1:80/a", "https://10.0.0.1:443/b", "https://10.0.0.1:443/b");
        check_followed("http://[fd00::1]:80/a", "http://[fd00::1]/b", "http://[fd00::1]/b");
        check_followed("http://web:80/a", "http://web?q", "http://web?q");
        check_followed("http://10.0.0.1:80/a", "/b?next=http://other/",
                       "http://10.0.0.1:80/b?next=http://other/");
        check_followed("http://10.0.0.1:80/a", "//other/b", "http://10.0.0.1:80//other/b");
}

/* What a pod answers must not send the node anywhere else (CP-06). */
TEST(a_redirect_that_leads_elsewhere_is_not_followed)
{
        static const char *const locations[] = {
                "http://10.0.0.2/",
                "http://169.254.169.254/latest/meta-data",
                "http://10.0.0.1@169.254.169.254/",
                "http://10.0.0.1:80@169.254.169.254/",
                "http://10.0.0.1:x@169.254.169.254/",
                "http://10.0.0.1:@169.254.169.254/",
                "http://10.0.0.1\\@169.254.169.254/",
                "http://10.0.0.1 @169.254.169.254/",
                "http://10.0.0.1%40169.254.169.254/",
                "http://10.0.0.10/",
                "http://10.0.0.1.example/",
                "http://",
                "http:///x",
                "http://[10.0.0.1]/",
                "http://:80/",
        };

        for (size_t i = 0; i < ARRAY_SIZE(locations); i++) {
                _cleanup_free_ char *next = NULL;

                CHECK_INT(redirect_follow("http://10.0.0.1:80/a", locations[i], &next), 0);
                CHECK(!next);
        }
}
