package http2_test

import (
	"testing"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message/http1"
)

func TestMain(m *testing.M) { relaytest.Main(m, http1.HTTP(), http1.GRPC()) }
