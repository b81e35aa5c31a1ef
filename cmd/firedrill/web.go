package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/screen"
	"github.com/firedrill-dev/firedrill/cmd/firedrill/web"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// livePage is how a run is shown as a page while it lasts.
type livePage struct {
	address string // "" for no page
	blind   bool
}

func (l *livePage) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&l.address, "web", "", "show the run as a page on this machine while it lasts, one scenario at a time, at a loopback address; any free port without one")
	flags.Lookup("web").NoOptDefVal = "127.0.0.1:0"
	flags.BoolVar(&l.blind, "blind", false, "with --web: do not show what comes next, which faults are live, nor what stop rules watch, unless the address of the page has the token")
}

// paged is a front that also shows a run as a page. Without a page, it is the front.
type paged struct {
	front
	page     *web.Page // nil if there is none
	operator *operator // set before the page is open
	listener net.Listener
	folder   string // of the run
}

// addressFile is the file in the folder of a run that holds the addresses of its page, while that is served.
const addressFile = "page.txt"

// people take part in a run: one person at the keys, and others at its page.
type people struct {
	title   string // of the page
	page    livePage
	by      string // the name of the person at the keys
	keys    io.Reader
	actions []action // of the keys
}

// join lets people take part in a run. leave ends the page, after it has shown the end of the run, and resets the terminal.
func (p people) join(ctx context.Context, run *runner.Options, view front, cancelRun context.CancelCauseFunc) (o *operator, leave func(), err error) {
	keys, err := readKeys(p.keys)
	if err != nil {
		return nil, nil, err
	}
	shown, closePage, err := p.page.open(p.title, view, run)
	if err != nil {
		keys.restore()
		return nil, nil, err
	}
	o = newOperator(p.by, keys, shown, p.actions, cancelRun)
	o.join(ctx, run)
	shown.announce(o, run)
	return o, func() { keys.restore(); closePage() }, nil
}

// open returns a front that also shows the run as a page, once announce was called and the run has begun. closePage ends the
// page, after it has shown the end of the run.
func (l livePage) open(title string, view front, o *runner.Options) (p *paged, closePage func(), err error) {
	p = &paged{front: view}
	switch {
	case l.address == "" && l.blind:
		return nil, nil, errors.New("--blind is about the page of --web: add --web")
	case l.address == "":
		return p, func() {}, nil
	}
	if p.listener, err = listenHere("--web", l.address); err != nil {
		return nil, nil, err
	}
	p.page = web.New(title, l.blind, web.Actions{
		"note":      func(by, text string) error { return p.operator.note(by, text) },
		"detected":  func(by, _ string) error { p.operator.reached("detected", by); return nil },
		"mitigated": func(by, _ string) error { p.operator.reached("mitigated", by); return nil },
		"heal":      func(by, _ string) error { return p.operator.healNow(by) },
		"abort":     func(by, _ string) error { p.operator.abortNow(by); return nil },
	})
	dir, watch := o.Dir, o.Watch
	o.Watch = func(e journal.Event) {
		watch(e)
		if e.Run != nil {
			p.folder = filepath.Join(dir, e.Run.ID)
		}
		p.page.Event(e)
	}
	server := &http.Server{Handler: p.page.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(p.listener) })
	return p, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		serving.Wait()
		if p.folder != "" {
			_ = os.Remove(filepath.Join(p.folder, addressFile)) // the token is worth nothing now
		}
	}, nil
}

// announce lets people open the page once the run has begun, and says where it is.
func (p *paged) announce(o *operator, run *runner.Options) {
	p.operator = o
	if p.page == nil {
		return
	}
	opened := run.Opened
	run.Opened = func(record func(journal.Note)) {
		opened(record)
		p.page.Open()
		addresses := fmt.Sprintf("watch at     http://%s/\ntake part at http://%[1]s/?token=%s", p.listener.Addr(), p.page.Token())
		p.Say(addresses)
		if err := os.WriteFile(filepath.Join(p.folder, addressFile), []byte(addresses+"\n"), 0o600); err != nil {
			p.Say(err.Error())
		}
	}
}

// Show shows what is asked on the page, too.
func (p *paged) Show(next screen.Prompt) {
	if p.page != nil {
		text := next.Question
		if next.Undo != "" {
			text += "; undo: " + next.Undo
		}
		p.page.Ask(text)
	}
	p.front.Show(next)
}
