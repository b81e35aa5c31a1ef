package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports/site"
)

func serveCommand() *cobra.Command {
	listen := "127.0.0.1:7411"
	cmd := &cobra.Command{
		Use:   "serve [RUNS]",
		Short: "Show recorded runs as pages: list, trend, comparison, reports",
		Long: `Shows the runs in a folder (.firedrill/runs, if none is named) as pages for a browser on this machine: a list that can be
filtered, the course of each scenario, a comparison of two runs, and the files of each run with its report. Nothing is
changed, and no other machine can open the pages. Ctrl-C ends it.`,
		Example: `  firedrill serve
  firedrill serve nightly/runs --listen 127.0.0.1:0`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := runsDir
			if len(args) == 1 {
				dir = args[0]
			}
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return fmt.Errorf("serve %q: it is no folder: name the folder of the runs; firedrill run records them in .firedrill/runs", dir)
			}
			ln, err := listenHere("serve --listen", listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "http://%s/  (Ctrl-C ends it)\n", ln.Addr())
			return serveUntil(cmd.Context(), ln, site.Handler(dir))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", listen, "loopback address; port 0 means any free one")
	return cmd
}

// listenHere listens at a loopback address, which a flag of a command names. The caller closes the listener.
func listenHere(flag, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s %q: it is only for this machine: use 127.0.0.1:PORT or [::1]:PORT", flag, addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: is it in use? 127.0.0.1:0 takes a free port", flag, err)
	}
	return ln, nil
}

// serveUntil serves HTTP until the context ends, and closes the listener.
func serveUntil(ctx context.Context, ln net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// closeListener closes a listener that serveUntil may have closed.
func closeListener(ln net.Listener) error {
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
