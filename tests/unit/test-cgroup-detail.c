#include "runtime/cgroup-detail.h"

#include "tests/check.h"

TEST(each_line_of_io_stat_is_a_device)
{
        struct runtime_detail d = { 0 };

        io_stat_parse("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"
                      "253:0 rbytes=7 wbytes=0 rios=0 wios=0\n",
                      &d);
        CHECK_INT(d.n_devices, 2);
        CHECK(d.devices[0].major == 8 && d.devices[0].minor == 16);
        CHECK(d.devices[0].read_bytes == 1 && d.devices[0].written_bytes == 2 &&
              d.devices[0].reads == 3 && d.devices[0].writes == 4);
        CHECK(d.devices[1].major == 253 && d.devices[1].read_bytes == 7);
}

TEST(lines_that_are_none_are_passed_over_and_more_devices_than_room_are_left_out)
{
        struct runtime_detail d = { 0 };

        io_stat_parse("", &d);
        CHECK_INT(d.n_devices, 0);
        io_stat_parse("8:0\nx rbytes=1\n8: rbytes=1\n8:0 rbytes=x wbytes=9\n(unknown) rbytes=1\n",
                      &d);
        CHECK_INT(d.n_devices, 1);
        CHECK(d.devices[0].read_bytes == 0 && d.devices[0].written_bytes == 9);
        io_stat_parse("1:0 a=1\n1:1 a=1\n1:2 a=1\n1:3 a=1\n1:4 a=1\n1:5 a=1\n1:6 a=1\n1:7 a=1\n"
                      "1:8 a=1\n1:9 a=1\n",
                      &d);
        CHECK_INT(d.n_devices, 8);
}
