# Two stages: GraphiQL is built with Node and only its files are kept; the image that runs has Python alone.
FROM node:22-slim AS web
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web ./
RUN npm run build -- --outDir /build/static --emptyOutDir

FROM python:3.13-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY src src
COPY migrations_pg migrations_pg
COPY mongo_indexes mongo_indexes
COPY --from=web /build/static src/nexfit/api/static/graphiql
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
  && useradd --system --uid 10001 --no-create-home nexfit \
  && install -d -o nexfit -m 700 /data
ENV NEXFIT_FILES_ROOT=/data/files NEXFIT_ENCRYPTION_PERSON_KEYS=/data/person-keys
USER nexfit
EXPOSE 8000
ENTRYPOINT ["nexfit"]
CMD ["serve", "--host", "0.0.0.0"]
