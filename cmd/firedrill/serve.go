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
	"syscall"
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
			dir := filepath.Join(".firedrill", "runs")
			if len(args) == 1 {
				dir = args[0]
			}
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return fmt.Errorf("serve %q: it is no folder: name the folder of the runs; firedrill run records them in .firedrill/runs", dir)
			}
			host, _, err := net.SplitHostPort(listen)
			if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
				return fmt.Errorf("serve --listen %q: the pages are only for this machine: use 127.0.0.1:PORT or [::1]:PORT", listen)
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return serve(ctx, cmd.OutOrStdout(), dir, listen)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", listen, "loopback address; port 0 means any free one")
	return cmd
}

// serve serves the pages until the context ends.
func serve(ctx context.Context, out io.Writer, dir, listen string) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("serve: %w: is it in use? --listen 127.0.0.1:0 takes a free port", err)
	}
	server := &http.Server{Handler: site.Handler(dir), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintf(out, "http://%s/  (Ctrl-C ends it)\n", ln.Addr())
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
