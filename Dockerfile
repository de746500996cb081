# Weir in a container: built in one stage, run without build tools or root in another.

FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev

FROM node:26-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json config.example.yaml README.md LICENSE ./
USER node
EXPOSE 8080

# The admin address as seen from inside the container; set it where `admin.bind` is another one.
ENV WEIR_ADMIN=http://127.0.0.1:9347
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "-e", "fetch(process.env.WEIR_ADMIN + '/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]

# A container that is to take over from another (`run --takeover`) shares its network namespace, and the folder of
# pidFile as a volume that `node` may write to; see "Replacing a running Weir" in the README. No connect is lost to that
# where the namespace has net.ipv4.tcp_migrate_req=1 (`docker run --sysctl`, or on the host with `--network host`).

# Node is process 1 (exec form, no shell and no npm between), so that SIGTERM reaches Weir and it drains.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/main.js"]
CMD ["run", "--config", "/etc/weir/weir.yaml"]
