package http1

import (
	"testing"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
)

func TestMain(m *testing.M) { relaytest.Main(m, HTTP(), GRPC()) }
