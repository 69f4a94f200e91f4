#include "kubelet/node-pressure.h"

#include <errno.h>

#include "kubelet/token.h"
#include "tests/check.h"

TEST(thresholds_are_quantities_or_percentages)
{
        uint64_t v;

        CHECK_INT(threshold_parse("100Mi", 0, &v), 0);
        CHECK_INT(v, 100 << 20);
        CHECK_INT(threshold_parse("10%", 1000, &v), 0);
        CHECK_INT(v, 100);
        CHECK_INT(threshold_parse("2.5%", 1000, &v), 0);
        CHECK_INT(v, 25);
        CHECK_INT(threshold_parse("101%", 1000, &v), -EINVAL);
        CHECK_INT(threshold_parse("x", 1000, &v), -EINVAL);
        CHECK_INT(threshold_parse("%", 1000, &v), -EINVAL);
}

TEST(a_token_is_refreshed_at_four_fifths_of_its_life_or_after_a_day)
{
        const usec_t now = 1000000 * USEC_PER_SEC, hour = 3600 * USEC_PER_SEC;

        CHECK_INT(token_refresh_at(now, now + hour), now + hour / 10 * 8);
        CHECK_INT(token_refresh_at(now, now + 100 * hour), now + 24 * hour);
        CHECK_INT(token_refresh_at(now, now - hour), now);
}
