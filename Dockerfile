# pgweir in an image with a C library, root certificates and nothing else. Build and run:
#
#   docker build -t pgweir .
#   docker run -p 6432:6432 -p 9632:9632 -e 'DATABASE_URL=postgres://app:secret@db:5432/app?sslmode=disable' pgweir
#
# Not static: with musl, jemalloc has no background threads and keeps memory after a burst; a static glibc can't
# look names up.

FROM rust:1.95-bookworm AS build
WORKDIR /pgweir
COPY . .
RUN cargo build --release --locked --bin pgweir && strip --strip-debug target/release/pgweir

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /pgweir/target/release/pgweir /usr/bin/pgweir
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/pgweir/
# "nonroot" by number, so that Kubernetes can check it (runAsNonRoot).
USER 65532:65532
ENV PGWEIR_LISTEN=0.0.0.0:6432 \
    PGWEIR_HTTP__LISTEN=0.0.0.0:9632 \
    PGWEIR_LOG__FORMAT=json
EXPOSE 6432 9632
# Transactions finish, then it exits (shutdown.timeout): give `docker stop` more time than that.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/bin/pgweir", "healthcheck"]
ENTRYPOINT ["/usr/bin/pgweir"]
