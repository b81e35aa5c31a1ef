package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/injector/toxiproxy"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// toxiproxyVersion is the version of Toxiproxy whose API is served. Clients may compare it with what they need.
const toxiproxyVersion = "2.12.0"

func linksCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "links", Short: "Links without a run"}
	cmd.AddCommand(linksUpCommand())
	return cmd
}

func linksUpCommand() *cobra.Command {
	var populate string
	api := "127.0.0.1:8474"
	var seed uint64
	cmd := &cobra.Command{
		Use:   "up [SYSTEM.yaml]",
		Short: "Open links and serve Toxiproxy's HTTP API to control them",
		Long: `Opens the links of a system file whose services run already (those with an address), and serves Toxiproxy's HTTP API, so
that its clients, its command line and its configuration files work with these links unchanged. The link from "orders" to
"payments" is the proxy "orders-payments". Ctrl-C closes all links.

A proxy may have a "protocol" beside what Toxiproxy knows: http, grpc, redis, nats, postgres. It then has a further type of
toxic, "fault", whose attribute "sentence" is one of "firedrill steps", about the traffic between "clients" and the
proxy's name.`,
		Example: `  firedrill links up features/system.yaml
  firedrill links up --populate toxiproxy.json
  toxiproxy-cli toxic add -t latency -a latency=800 orders-payments
  curl -d '{"type": "fault", "attributes": {"sentence": "30% of replies from \"redis\" to \"clients\" are lost after the work was done"}}' localhost:8474/proxies/redis/toxics`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if host, _, err := net.SplitHostPort(api); err != nil || !net.ParseIP(host).IsLoopback() {
				return fmt.Errorf("links up --api %q: the API is only for this machine: use 127.0.0.1:PORT or [::1]:PORT", api)
			}
			server := toxiproxy.New(toxiproxy.Config{Version: toxiproxyVersion, Seed: seed, Fault: readFault})
			err := openLinks(server, args, populate)
			if err == nil {
				ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
				defer stop()
				err = serveLinks(ctx, cmd.OutOrStdout(), server, api)
			}
			return errors.Join(err, server.Close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&api, "api", api, "loopback address of the HTTP API; port 0 means any free one")
	flags.StringVar(&populate, "populate", "", "a configuration file of Toxiproxy, with proxies to create")
	flags.Uint64Var(&seed, "seed", 1, "of random choices, such as those of a toxicity below 1")
	return cmd
}

// openLinks creates the proxies of a system file, if one is named, and of a configuration file, if one is.
func openLinks(server *toxiproxy.Server, systems []string, populate string) error {
	for _, file := range systems {
		sys, err := system.Read(os.DirFS(filepath.Dir(file)), filepath.Base(file), nil, protocols.All())
		if err != nil {
			return err
		}
		for _, service := range sys.Outside(sys.Allow) {
			return fmt.Errorf("%s: %q runs at %s, which is not this machine: if faults may reach it, add to the file: allow: [%q]", file, service.Name, service.Address, service.Address)
		}
		for _, l := range sys.Links {
			p, err := proxyOf(sys, l)
			if err == nil {
				err = server.Add(p)
			}
			if err != nil {
				return fmt.Errorf("%s: link %s: %w", file, l.Name(), err)
			}
		}
	}
	if populate == "" {
		return nil
	}
	f, err := os.Open(populate)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := server.Populate(f); err != nil {
		return fmt.Errorf("%s: %w", populate, err)
	}
	return nil
}

// proxyOf returns the proxy of a link.
func proxyOf(sys system.System, l system.Link) (toxiproxy.Proxy, error) {
	i := slices.IndexFunc(sys.Services, func(s system.Service) bool { return s.Name == l.To })
	switch {
	case i < 0 || sys.Services[i].Address == "":
		return toxiproxy.Proxy{}, fmt.Errorf("%q has no address: only links to services that run already can stand without a run", l.To)
	case l.UDP() || l.TLS != nil || l.Port != "" || l.ProxyProtocol != "" || l.Framing.Width != 0:
		return toxiproxy.Proxy{}, errors.New("links over UDP, links that terminate TLS or send a PROXY header, links to further ports, and those with a framing cannot stand without a run yet")
	}
	protocol := l.ProtocolName()
	if protocol == "tcp" {
		protocol = ""
	}
	return toxiproxy.Proxy{Name: l.From + "-" + l.To, Listen: l.Listen, Upstream: sys.Services[i].Address, Enabled: true, Protocol: protocol}, nil
}

// serveLinks serves the API until the context ends.
func serveLinks(ctx context.Context, out io.Writer, api *toxiproxy.Server, listen string) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("links up: %w: is Toxiproxy running? --api 127.0.0.1:0 takes a free port", err)
	}
	for _, p := range api.Proxies() {
		fmt.Fprintf(out, "%s  %s -> %s\n", p.Name, p.Listen, p.Upstream)
	}
	fmt.Fprintf(out, "Toxiproxy's API: http://%s  (Ctrl-C closes all links)\n", ln.Addr())
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// readFault reads a sentence about the link from "clients" to a proxy.
func readFault(proxy, protocol, sentence string) (injector.Fault, error) {
	if strings.ContainsAny(sentence, "\r\n") {
		return nil, errors.New("a sentence has one line")
	}
	if group := language.Standard().Group(sentence); group != "" && group != "faults" {
		return nil, fmt.Errorf("%q is not a fault: \"firedrill steps\" lists them", sentence)
	}
	feature := fmt.Sprintf("Feature: F\n  Scenario: S\n    Given \"clients\" depends on %q at \"127.0.0.1:1\" over %s\n    When %s\n    And 1s pass\n", proxy, protocol, sentence)
	es, err := language.Parse(language.Source{FS: fstest.MapFS{"a.feature": {Data: []byte(feature)}}, Paths: []string{"a.feature"}})
	var problems scenarios.Problems
	switch {
	case errors.As(err, &problems) && len(problems) > 0:
		return nil, fmt.Errorf("%s: %s", problems[0].What, problems[0].Hint)
	case err != nil:
		return nil, err
	}
	steps := es[0].Steps
	in, ok := steps[1].Do.(scenarios.Inject)
	switch {
	case !ok || len(in.Faults) != 1:
		return nil, fmt.Errorf("%q is not one fault", sentence)
	case in.For != 0:
		return nil, errors.New("leave out for how long: the fault is live until the toxic is removed")
	}
	return in.Faults[0].Fault, nil
}
