#include "cli/dash-draw.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

struct dash_terminal {
        SCREEN *screen;
        struct dash_screen shown; /* owned; what is on it */
        bool is_utf8, has_colours;
};

int dash_terminal_new(struct dash_terminal **ret, struct err *err)
{
        static const short colours[] = { [COLOUR_GOOD] = COLOR_GREEN,
                                         [COLOUR_WARNING] = COLOR_YELLOW,
                                         [COLOUR_BAD] = COLOR_RED };
        struct dash_terminal *t = calloc(1, sizeof *t);

        if (!t)
                return err_sys(err, -ENOMEM, "draw");
        setlocale(LC_CTYPE, "");
        t->is_utf8 = streq(nl_langinfo(CODESET), "UTF-8");
        t->screen = newterm(NULL, stdout, stdin);
        if (!t->screen) {
                const char *name = getenv("TERM");

                free(t);
                return err_set(err, -ENOTTY, "TERM: '%s': expected a terminal to draw on",
                               name ? name : "");
        }
        cbreak();
        noecho();
        nonl();
        keypad(stdscr, TRUE);
        set_escdelay(50);
        curs_set(0);
        t->has_colours = output_has_colours() && has_colors() && start_color() == OK;
        if (t->has_colours) {
                use_default_colors();
                for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
                        if (colours[i])
                                init_pair((short)i, colours[i], -1);
        }
        *ret = t;
        return 0;
}

struct dash_terminal *dash_terminal_free(struct dash_terminal *t)
{
        if (!t)
                return NULL;
        endwin();
        delscreen(t->screen);
        dash_screen_done(&t->shown);
        free(t);
        return NULL;
}

static void draw_cell(const struct dash_terminal *t, int row, int column, const struct dash_cell *c)
{
        const wchar_t text[] = { (wchar_t)c->symbol, L'\0' };
        attr_t attributes = (c->is_bold ? A_BOLD : 0) | (c->is_reverse ? A_REVERSE : 0);
        const bool is_coloured = t->has_colours && c->colour != COLOUR_NONE;
        cchar_t cell;

        if (c->colour == COLOUR_DIM)
                attributes |= A_DIM;
        setcchar(&cell, text, attributes,
                 (short)(is_coloured && c->colour != COLOUR_DIM ? c->colour : 0), NULL);
        mvadd_wch(row, column, &cell);
}

static bool is_same(const struct dash_cell *a, const struct dash_cell *b)
{
        return a->symbol == b->symbol && a->colour == b->colour && a->is_bold == b->is_bold &&
               a->is_reverse == b->is_reverse;
}

int dash_terminal_draw(struct dash_terminal *t, const struct dash_model *m)
{
        int height, width;
        struct dash_screen s;
        bool is_fresh;

        getmaxyx(stdscr, height, width);
        if (height < 1 || width < 1 ||
            dash_layout(m, (size_t)width, (size_t)height, t->is_utf8, &s) < 0)
                return -ENOMEM;
        is_fresh = t->shown.width != s.width || t->shown.height != s.height;
        if (is_fresh)
                clear();
        for (size_t i = 0; i < s.width * s.height; i++)
                if (is_fresh || !is_same(&s.cells[i], &t->shown.cells[i]))
                        draw_cell(t, (int)(i / s.width), (int)(i % s.width), &s.cells[i]);
        dash_screen_done(&t->shown);
        t->shown = s;
        refresh();
        return 0;
}

uint32_t dash_terminal_key(_unused_ struct dash_terminal *t, int wait_msec)
{
        static const struct {
                int curses;
                uint32_t ours;
        } keys[] = { { KEY_UP, DASH_KEY_UP },
                     { KEY_DOWN, DASH_KEY_DOWN },
                     { KEY_PPAGE, DASH_KEY_PAGE_UP },
                     { KEY_NPAGE, DASH_KEY_PAGE_DOWN },
                     { KEY_HOME, DASH_KEY_HOME },
                     { KEY_END, DASH_KEY_END },
                     { KEY_ENTER, '\n' },
                     { KEY_BACKSPACE, DASH_KEY_BACKSPACE } };
        int key;

        timeout(wait_msec);
        key = getch();
        if (key == ERR || key == KEY_RESIZE)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (keys[i].curses == key)
                        return keys[i].ours;
        return key < 256 ? (uint32_t)key : 0;
}

void dash_terminal_leave(_unused_ struct dash_terminal *t)
{
        def_prog_mode();
        endwin();
}

void dash_terminal_return(struct dash_terminal *t)
{
        reset_prog_mode();
        dash_screen_done(&t->shown); /* all of it is drawn anew */
        clear();
}
