# The daemon in a container. User 5347 must be able to read its configuration,
# /etc/easy-invite/config.toml, which needs
#
#     [component]
#     server = "prosody:5347"        # where Prosody listens, as seen from the container
#     [store]
#     url = "sqlite:/var/lib/easy-invite/easy-invite.db"
#
# and the secret, there or in $EASY_INVITE_SECRET. For example:
#
#     docker build --tag easy-invite .
#     docker run --detach --name easy-invite --volume /etc/easy-invite:/etc/easy-invite:ro \
#         --volume easy-invite:/var/lib/easy-invite easy-invite
#     docker exec easy-invite easy-invite generate example.org
#     docker kill --signal HUP easy-invite      # reads a changed configuration

FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN useradd --uid 5347 --user-group --create-home --home-dir /var/lib/easy-invite \
        --shell /usr/sbin/nologin easy-invite \
    && chmod 700 /var/lib/easy-invite
COPY --from=build /source/target/release/easy-invite /usr/local/bin/
ENV EASY_INVITE_CONFIG=/etc/easy-invite/config.toml
USER easy-invite
VOLUME /var/lib/easy-invite
ENTRYPOINT ["easy-invite"]
CMD ["run"]
