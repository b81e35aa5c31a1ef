// Command service is the service of most drills of the truth suite. It is correct unless its options say otherwise.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options configures a service. The zero value is a correct service that answers at once.
type options struct {
	listen, dep, second string // host:port; dep is the dependency, second is asked when dep fails

	// Calls to the dependency.
	patience  time.Duration // of one call
	tries     int           // calls per request, when they fail
	gap       time.Duration // between two tries
	backlog   bool          // a failed call is tried again in the background until it succeeds
	noReuse   bool          // every call opens a connection
	heartbeat time.Duration // "GET /ok" of the dependency each so often

	heartbeatAfter time.Duration // how long after the start they begin
	idle           bool          // opens a connection to the dependency and never uses it

	// Pages.
	delay    time.Duration // before each answer
	warmUp   time.Duration // answers 503 for so long after the first request
	pool     int           // pages under way at once, of all kinds; 0 is no bound
	bulkhead bool          // the pool is for pages that call the dependency
	breaker  int           // no call is made any more after so many failures in a row
	closes   time.Duration // the breaker permits a call after that; 0 means never
	cached   bool          // the dependency is asked until it answered once
	stale    bool          // when the dependency fails, its last answer is served
	degrade  string        // mark fallbacks: "failure" (those that are), "always", "sticky" (all after the first)
	leak     time.Duration // each failed call makes all later answers so much later

	orders orderOptions

	// The process.
	exitAfter   time.Duration // exits unexpectedly
	exitStatus  int
	dyingFor    time.Duration // before it exits, its sockets are closed for so long
	restartLate time.Duration // a second process of the same service in the same folder listens so late
	detach      string        // "stay": a child in a session of its own serves; "leave": and the parent exits; "supervise": the child starts a new one when it ends
	announce    string        // printed at the start
	ignoreTerm  bool          // SIGTERM does not end it
	udp         bool          // reads datagrams too
}

// orderOptions configures POST /orders and the ledger.
type orderOptions struct {
	status    int           // of the answer
	key       string        // "header" or "body"
	forget    string        // keys are forgotten: "always", "slow" (when the dependency took over 100ms)
	late      time.Duration // effects are applied so long after the answer
	again     time.Duration // and a second time so long after the first
	copies    string        // another effect is applied with this appended to the key
	file      string        // the ledger's file; "" keeps it in memory
	sync      bool          // an effect is synced before it is acknowledged
	failing   string        // when the dependency fails: "" 503 and nothing applied; "503", "422" applied all the same; "201" acknowledged and not applied
	anyBody   bool          // a key may come with another body
	newReply  bool          // a repetition is answered in other words
	listed    int           // how often the ledger lists each effect
	unguarded bool          // a key that is being worked on is not waited for
	numeric   bool          // ids are numbers
	shuffled  bool          // the ledger is listed in another order each time
}

func (o *options) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.listen, "listen", "", "")
	fs.StringVar(&o.dep, "dep", "", "")
	fs.StringVar(&o.second, "second", "", "")
	fs.DurationVar(&o.patience, "patience", 2*time.Second, "")
	fs.IntVar(&o.tries, "tries", 1, "")
	fs.DurationVar(&o.gap, "gap", 10*time.Millisecond, "")
	fs.BoolVar(&o.backlog, "backlog", false, "")
	fs.BoolVar(&o.noReuse, "no-reuse", false, "")
	fs.DurationVar(&o.heartbeat, "heartbeat", 0, "")
	fs.DurationVar(&o.heartbeatAfter, "heartbeat-after", 0, "")
	fs.BoolVar(&o.idle, "idle", false, "")
	fs.DurationVar(&o.delay, "delay", 0, "")
	fs.DurationVar(&o.warmUp, "warm-up", 0, "")
	fs.IntVar(&o.pool, "pool", 0, "")
	fs.BoolVar(&o.bulkhead, "bulkhead", false, "")
	fs.IntVar(&o.breaker, "breaker", 0, "")
	fs.DurationVar(&o.closes, "closes", 0, "")
	fs.BoolVar(&o.cached, "cached", false, "")
	fs.BoolVar(&o.stale, "stale", false, "")
	fs.StringVar(&o.degrade, "degrade", "failure", "")
	fs.DurationVar(&o.leak, "leak", 0, "")
	fs.DurationVar(&o.exitAfter, "exit-after", 0, "")
	fs.IntVar(&o.exitStatus, "exit-status", 0, "")
	fs.DurationVar(&o.dyingFor, "dying-for", 0, "")
	fs.DurationVar(&o.restartLate, "restart-late", 0, "")
	fs.StringVar(&o.detach, "detach", "", "")
	fs.StringVar(&o.announce, "announce", "", "")
	fs.BoolVar(&o.ignoreTerm, "ignore-term", false, "")
	fs.BoolVar(&o.udp, "udp", false, "")
	o.orders.flags(fs)
}

func (o *orderOptions) flags(fs *flag.FlagSet) {
	fs.IntVar(&o.status, "status", http.StatusCreated, "")
	fs.StringVar(&o.key, "key", "header", "")
	fs.StringVar(&o.forget, "forget", "", "")
	fs.DurationVar(&o.late, "late", 0, "")
	fs.DurationVar(&o.again, "again", 0, "")
	fs.StringVar(&o.copies, "copies", "", "")
	fs.StringVar(&o.file, "file", "", "")
	fs.BoolVar(&o.sync, "sync", false, "")
	fs.StringVar(&o.failing, "failing", "", "")
	fs.BoolVar(&o.anyBody, "any-body", false, "")
	fs.BoolVar(&o.newReply, "new-reply", false, "")
	fs.IntVar(&o.listed, "listed", 1, "")
	fs.BoolVar(&o.unguarded, "unguarded", false, "")
	fs.BoolVar(&o.numeric, "numeric", false, "")
	fs.BoolVar(&o.shuffled, "shuffled", false, "")
}

func main() { os.Exit(serve(os.Args[1:])) }

// serve returns the exit status.
func serve(args []string) int {
	var o options
	fs := flag.NewFlagSet("service", flag.ContinueOnError)
	o.flags(fs)
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if o.announce != "" {
		fmt.Println(o.announce)
	}
	if o.detach != "" {
		return detached(o.detach, args)
	}
	if o.ignoreTerm {
		signal.Ignore(syscall.SIGTERM)
	}
	if o.exitAfter > 0 && o.dyingFor == 0 {
		time.AfterFunc(o.exitAfter, func() {
			fmt.Println("exiting: the configured time is over")
			os.Exit(o.exitStatus)
		})
	}
	if o.listen == "" { // nothing to serve
		time.Sleep(o.exitAfter)
		return o.exitStatus
	}
	time.Sleep(startDelay(o.restartLate))
	if err := listen(o); err != nil {
		fmt.Println("service:", err)
		return 1
	}
	return 0
}

// listen serves until the process is killed.
func listen(o options) error {
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	if o.udp {
		conn, err := net.ListenPacket("udp", o.listen)
		if err != nil {
			return err
		}
		go readDatagrams(conn)
	}
	back := newDependency(o)
	mux := http.NewServeMux()
	newPages(o, back).register(mux)
	orders, err := newOrders(o.orders, back)
	if err != nil {
		return err
	}
	orders.register(mux)
	mux.Handle("/spare/", http.StripPrefix("/spare", mux)) // for services that must have their own paths
	server := http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	if o.dyingFor > 0 {
		time.AfterFunc(o.exitAfter, func() {
			_ = server.Close()
			time.Sleep(o.dyingFor)
			os.Exit(o.exitStatus)
		})
	}
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	select {} // it is dying
}

func readDatagrams(conn net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		if _, _, err := conn.ReadFrom(buf); err != nil {
			return
		}
	}
}

// startDelay returns late, except for the first process that is started in this folder.
func startDelay(late time.Duration) time.Duration {
	if late == 0 {
		return 0
	}
	f, err := os.OpenFile("started-once", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return late
	}
	f.Close()
	return 0
}

// without returns args without an option and its value.
func without(args []string, name string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if strings.TrimLeft(args[i], "-") == name {
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}
