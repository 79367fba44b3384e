# The daemon and nothing else: no shell, no other program. docs/container.md says how to use it, and
# compose.yaml runs it beside Prosody.
#
#     docker build --tag easy-invite .

FROM rust:1-slim-bookworm AS build
ARG PROFILE=release
WORKDIR /source
COPY . .
# The next build has what this one has compiled.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo install --locked --no-track --path . --profile "$PROFILE" --root /image/usr
WORKDIR /image
# The libraries it is linked with, the authorities that `sslrootcert=system` trusts, where names are
# looked up, its user, and the folder of its store.
RUN ldd usr/bin/easy-invite | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory . \
    && cp --dereference --parents /etc/ssl/certs/ca-certificates.crt . \
    && echo 'hosts: files dns' >etc/nsswitch.conf \
    && echo 'root:x:0:' >etc/group \
    && echo 'easy-invite:x:5347:' >>etc/group \
    && echo 'root:x:0:0:root:/:/usr/sbin/nologin' >etc/passwd \
    && echo 'easy-invite:x:5347:5347:easy-invite:/var/lib/easy-invite:/usr/sbin/nologin' >>etc/passwd \
    && install --directory --owner 5347 --group 5347 --mode 700 var/lib/easy-invite

FROM scratch
LABEL org.opencontainers.image.title="easy-invite" \
      org.opencontainers.image.description="Invite-only registration for XMPP servers" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image /
# In a container, 127.0.0.1 is nobody else's.
ENV PATH=/usr/bin EASY_INVITE_LISTEN=0.0.0.0:5380
USER 5347:5347
VOLUME /var/lib/easy-invite
WORKDIR /var/lib/easy-invite
EXPOSE 5380
ENTRYPOINT ["easy-invite"]
CMD ["run"]
