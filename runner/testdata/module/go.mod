module example.com/shop

go 1.26

require github.com/firedrill-dev/firedrill v0.0.0

replace github.com/firedrill-dev/firedrill => ../../..
